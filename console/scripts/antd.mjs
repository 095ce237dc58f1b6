// The styles of the library's components as a sheet, made when the console is built. Left to itself the library makes them in the browser, each when a component is
// first shown: a quarter of the work before the first page can be used. Colours and sizes stay variables, so that a theme is chosen in the browser all the same.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRequire } from 'node:module'
import { createElement as h } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'

// By require: the components and their styles have to meet in the same copy of each package, and Node would take another for an import.
const require = createRequire(import.meta.url)
/** @type {typeof import('antd')} */
const antd = require('antd')
/** @type {typeof import('@ant-design/cssinjs')} */
const { createCache, extractStyle, StyleProvider } = require('@ant-design/cssinjs')
/** @type {{ iconStyles: string }} */
const { iconStyles } = require('@ant-design/icons/lib/renderUtils')

/** What has no look. */
const invisible = new Set(['ConfigProvider', 'Grid', 'theme'])

/**
 * A component calls for its styles when it is rendered, whatever is in it. Those below have parts with styles of their own, or want something to be rendered at all.
 * @type {Record<string, () => import('react').ReactNode[]>}
 */
const parts = {
  App: () => [
    h(antd.App),
    h(antd.message._InternalPanelDoNotUseOrYouWillBeFired),
    h(antd.notification._InternalPanelDoNotUseOrYouWillBeFired),
  ],
  Button: () => [h(antd.Button), h(antd.Space.Compact, null, h(antd.Button))],
  Dropdown: () => [h(antd.Dropdown, { menu: { items: [] } }, h('i'))],
  Input: () => [h(antd.Input), h(antd.Input.Search), h(antd.Input.TextArea), h(antd.Input.Password)],
  Layout: () => [h(antd.Layout, null, h(antd.Layout.Header), h(antd.Layout.Sider), h(antd.Layout.Content))],
  Menu: () => [h(antd.Menu, { items: [] })],
  Modal: () => [
    h(antd.Modal),
    h(antd.Modal._InternalPanelDoNotUseOrYouWillBeFired),
    h(antd.Modal._InternalPanelDoNotUseOrYouWillBeFired, { type: 'confirm' }),
  ],
  Radio: () => [h(antd.Radio), h(antd.Radio.Group, { options: ['a'], optionType: 'button' })],
  Skeleton: () => [h(antd.Skeleton), h(antd.Skeleton.Node), h(antd.Skeleton.Input), h(antd.Skeleton.Button)],
  Space: () => [h(antd.Space), h(antd.Space.Compact, null, h(antd.Button))],
  Tag: () => [h(antd.Tag, { color: 'blue' }), h(antd.Tag, { color: 'success' })],
}

/** The components that are imported anywhere below a folder. @param {string} folder @returns {Set<string>} */
export function used(folder) {
  const names = new Set()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.tsx?$/.test(entry.name)) continue
    const text = readFileSync(join(entry.parentPath, entry.name), 'utf8')
    for (const [, list] of text.matchAll(/import \{([^}]*)\} from 'antd'/g))
      for (const one of list.split(',')) {
        const name = one.trim().split(/\s+as\s+/)[0]
        // A type has no look.
        if (name && !name.startsWith('type ')) names.add(name)
      }
  }
  return names
}

/** @param {Iterable<string>} names */
export function sheet(names) {
  const cache = createCache()
  const shown = []
  for (const name of names) {
    if (invisible.has(name)) continue
    const component = /** @type {Record<string, any>} */ (antd)[name]
    if (!component) throw new Error(`antd has no component ${name}`)
    shown.push(...(parts[name]?.() ?? [h(component)]))
  }
  renderToStaticMarkup(h(StyleProvider, { cache }, h(antd.ConfigProvider, { theme: { hashed: false } }, ...shown)))
  return iconStyles + extractStyle(cache, { plain: true, types: ['style'] })
}

const virtual = 'virtual:antd.css'
const makers = new Set(['genStyleHooks', 'genSubStyleComponent', 'genComponentStyleHook'])

/**
 * Makes `virtual:antd.css` of what is used in a folder, and leaves the functions that would make the same in the browser out of the build.
 * @param {string} folder @returns {import('vite').Plugin}
 */
export function antdStyles(folder) {
  return {
    name: 'antd-styles',
    resolveId: (id) => (id === virtual ? `\0${virtual}` : undefined),
    load: (id) => (id === `\0${virtual}` ? sheet(used(folder)) : undefined),
    transform: {
      filter: { id: /\/antd\/es\/.*\/style\/[^/]*\.js$/ },
      handler(code) {
        let left = code
        // From the end, so that the places before stay where they are.
        for (const { start, end } of makerArguments(this.parse(code)).reverse())
          left = left.slice(0, start) + '() => []' + left.slice(end)
        return { code: left, map: null }
      },
    },
  }
}

/** The functions that are handed to makers of styles. @param {any} node @param {{ start: number, end: number }[]} found */
function makerArguments(node, found = []) {
  if (node.type === 'CallExpression' && makers.has(node.callee.name) && node.arguments[1]) found.push(node.arguments[1])
  else
    for (const value of Object.values(node))
      for (const child of Array.isArray(value) ? value : [value])
        if (typeof child?.type === 'string') makerArguments(child, found)
  return found
}
