import assert from 'node:assert/strict'
import { pages } from '../harness/pages.mjs'
import { task } from '../harness/task.mjs'

task(
  'every page can be used on a phone, in Chinese',
  async ({ world, admin }) => {
    const { server } = await world()
    const me = await admin({ language: 'zh', viewport: { width: 390, height: 844 } })
    /** @type {string[]} */
    const wide = []
    for (const [name, path] of Object.entries(await pages(server))) {
      await me.go(path)
      await me.settled()
      // What is wider than the window scrolls by itself, and never takes the page with it.
      const found = await me.page.evaluate(() => {
        const room = document.documentElement.clientWidth
        if (document.documentElement.scrollWidth <= room) return undefined
        const scrolls = (/** @type {Element | null} */ element) => {
          for (let at = element; at && at !== document.body; at = at.parentElement)
            if (getComputedStyle(at).overflowX !== 'visible') return true
          return false
        }
        const culprit = [...document.querySelectorAll('main *')].find(
          (element) => element.getBoundingClientRect().right > room + 1 && !scrolls(element.parentElement),
        )
        return `${document.documentElement.scrollWidth} px: ${culprit?.outerHTML.slice(0, 160)}`
      })
      if (found) wide.push(`${name}: ${found}`)
    }
    assert.deepEqual(wide, [])
    // The way to other pages is behind a button.
    await me.page.getByRole('button', { name: /导航/ }).click()
    await me.page.getByRole('link', { name: '服务', exact: true }).click()
    await me.page.getByRole('heading', { level: 1, name: '服务' }).waitFor()
  },
  { timeout: 180_000 },
)
