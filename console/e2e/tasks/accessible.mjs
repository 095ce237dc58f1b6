import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pages } from '../harness/pages.mjs'
import { task } from '../harness/task.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

for (const theme of /** @type {const} */ (['light', 'dark']))
  task(
    `every page is accessible and without errors, ${theme}`,
    async ({ world, admin }) => {
      const { server } = await world()
      const me = await admin({ theme })
      /** @type {string[]} */
      const found = []
      for (const [name, path] of Object.entries(await pages(server))) {
        await me.go(path)
        if (await me.page.getByText('There is no such page').isVisible())
          throw new Error(`${name} is not built: ${path}`)
        await me.settled()
        for (const rule of await violations(me.page)) found.push(`${name}: ${rule}`)
        // What the page complained of is told with its name.
        me.complaints = me.complaints.map((text) => (text.startsWith('on ') ? text : `on ${name}: ${text}`))
      }
      if (found.length > 0) throw new Error(`axe:\n${found.join('\n')}\n${me.complaints.join('\n')}`)
    },
    { timeout: 240_000 },
  )

/** What axe calls serious or critical. @param {import('playwright-core').Page} page @returns {Promise<string[]>} */
async function violations(page) {
  // By the protocol and not as an element: the policy lets no other script in.
  await page.evaluate(axe)
  return page.evaluate(async () => {
    const { violations } = await /** @type {any} */ (window).axe.run(document, {
      resultTypes: ['violations'],
      // An experiment of axe's: it wants the name of a row of spans to hold the bars' labels.
      rules: { 'label-content-name-mismatch': { enabled: false } },
    })
    return violations
      .filter((/** @type {any} */ one) => one.impact === 'serious' || one.impact === 'critical')
      .flatMap((/** @type {any} */ one) =>
        one.nodes
          .slice(0, 4)
          .map(
            (/** @type {any} */ node) =>
              `${one.id} (${one.impact}): ${node.html.slice(0, 160)} ${node.any[0]?.message ?? node.all[0]?.message ?? ''}`,
          ),
      )
  })
}
