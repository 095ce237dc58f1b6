import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { pages } from '../harness/pages.mjs'
import { task } from '../harness/task.mjs'

// E2E_PICTURES=docs/pictures/console: the pictures of README and docs, of the sample fleet as it is after a while.
const folder = process.env.E2E_PICTURES

/** @type {{ name: string, page: string, theme?: 'light' | 'dark', language?: 'en' | 'zh', viewport?: { width: number, height: number } }[]} */
const wanted = [
  { name: 'overview', page: 'overview' },
  { name: 'service', page: 'service' },
  { name: 'map-dark', page: 'map', theme: 'dark' },
  { name: 'document', page: 'document' },
  { name: 'release', page: 'release' },
  { name: 'traces', page: 'traces' },
  { name: 'trace-dark', page: 'trace', theme: 'dark' },
  { name: 'overview-zh', page: 'overview', language: 'zh' },
  { name: 'services-phone', page: 'services', viewport: { width: 390, height: 780 } },
]

if (folder)
  task(
    'pictures of the main pages',
    async ({ world, admin }) => {
      const { server } = await world()
      const all = await pages(server)
      // npm runs this in console/; the folder is named from the top of the sources.
      const to = resolve(import.meta.dirname, '../../..', folder)
      mkdirSync(to, { recursive: true })
      // So that charts have something to show.
      await new Promise((done) => setTimeout(done, 60_000))
      for (const { name, page, ...options } of wanted) {
        const me = await admin(options)
        await me.go(all[page] ?? '/')
        await me.settled()
        await me.page.waitForTimeout(1500) // charts and the map come after the page
        await me.page.screenshot({ path: resolve(to, `${name}.png`), animations: 'disabled' })
        await me.page.context().close()
      }
    },
    { timeout: 240_000 },
  )
