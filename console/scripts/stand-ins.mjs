// Modules of ours that stand in for modules within a library.
import { relative } from 'node:path'

/**
 * The aliases that put them there. A library whose next version calls its own module otherwise would get it back without a word: the build fails then.
 * @param {string} root @param {{ find: RegExp, by: string }[]} all @returns {import('vite').Plugin}
 */
export function standIns(root, all) {
  return {
    name: 'stand-ins',
    config: () => ({ resolve: { alias: all.map(({ find, by }) => ({ find, replacement: root + by })) } }),
    buildEnd(error) {
      if (error) return
      const built = new Set([...this.getModuleIds()].map((id) => relative(root, id)))
      for (const { find, by } of all)
        if (!built.has(by)) this.error(`nothing asks for ${find} any more, for which ${by} stands in`)
    },
  }
}
