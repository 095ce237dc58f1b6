// Asks for the code of one page, and of what comes after its first frame, together with that of the shell. A page is loaded when its address is opened; of the page that
// most addresses lead to, and whose pieces most pages share, the browser is told in the HTML, so that it need not run the shell to find out what comes next.
import { relative } from 'node:path'

/** @param {string[]} parts its modules, from the root of the project @returns {import('vite').Plugin} */
export function firstPage(parts) {
  let root = ''
  return {
    name: 'first-page',
    apply: 'build',
    configResolved(config) {
      root = config.root
    },
    transformIndexHtml: {
      order: 'post',
      handler(html, { bundle }) {
        const chunks = Object.values(bundle ?? {}).filter((one) => one.type === 'chunk')
        /** @type {Set<string>} */
        const files = new Set()
        const take = (/** @type {string} */ file) => {
          if (files.has(file)) return
          files.add(file)
          const chunk = bundle?.[file]
          if (chunk?.type === 'chunk') chunk.imports.forEach(take)
        }
        for (const part of parts) {
          const chunk = chunks.find((one) => one.facadeModuleId && relative(root, one.facadeModuleId) === part)
          if (!chunk) throw new Error(`no chunk is made of ${part}`)
          take(chunk.fileName)
        }
        return [...files]
          .filter((file) => !html.includes(file))
          .map((file) => ({
            tag: 'link',
            attrs: { rel: 'modulepreload', crossorigin: true, href: `/console/${file}` },
            injectTo: /** @type {const} */ ('head'),
          }))
      },
    },
  }
}
