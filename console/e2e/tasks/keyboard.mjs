import assert from 'node:assert/strict'
import { task } from '../harness/task.mjs'

/** What has the focus, and whether it is within a dialog. @param {import('playwright-core').Page} page */
const focus = (page) =>
  page.evaluate(() => {
    const at = document.activeElement
    return {
      // After the last field the focus is the browser's own for a moment, as on any page.
      inside: at === null || at === document.body || at.closest('[role="dialog"]') !== null,
      what: at?.getAttribute('aria-label') ?? at?.textContent ?? at?.tagName ?? '',
    }
  })

task('dialogs by keyboard alone: the focus goes in, stays, and comes back', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  const { token } = await server.call('AccessService/CreateToken', {
    description: 'to be looked at',
    grants: [{ namespace: 'default', role: 'ROLE_SERVICE' }],
  })
  afterwards(() => server.call('AccessService/RevokeToken', { id: token.id }))
  const me = await admin()
  const { page } = me
  const places = /** @type {const} */ ([
    ['/default/users', 'New user', 'New user'],
    ['/default/users?tab=tokens', 'New token', 'New token'],
    ['/default/users?tab=tokens', 'Revoke token to be looked at', 'Revoke this token?'],
    ['/default/users', 'Change my password', 'Change your password'],
    ['/default/alerts?tab=silences', 'New silence', 'Silence'],
  ])
  for (const [path, button, title] of places) {
    await me.go(path)
    await me.settled()
    const opener = page.getByRole('button', { name: button })
    await opener.focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog', { name: title, exact: true })
    await dialog.waitFor()
    await page.waitForFunction(() => document.activeElement?.closest('[role="dialog"]'), undefined, { timeout: 5000 })
    for (const key of [...Array(12).fill('Tab'), ...Array(4).fill('Shift+Tab')]) {
      await page.keyboard.press(key)
      const { inside, what } = await focus(page)
      assert.ok(inside, `${title}: ${key} leads out of the dialog, to ${what}`)
    }
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    await page
      .waitForFunction((name) => {
        const at = document.activeElement
        return `${at?.getAttribute('aria-label')} ${at?.textContent}`.includes(name)
      }, button)
      .catch(async () => assert.fail(`${title}: the focus goes to ${(await focus(page)).what}, not back to ${button}`))
  }
})

task('what opens from a button by keyboard alone, the first time as ever after', async ({ admin }) => {
  const me = await admin()
  const { page } = me
  await me.context.grantPermissions(['clipboard-read', 'clipboard-write'])
  await me.go('/default/services')
  await me.settled()
  const focused = (/** @type {string} */ name) =>
    page.waitForFunction((name) => document.activeElement?.closest('button')?.matches(name), name)

  const menu = page.getByRole('menu')
  await page.getByRole('button', { name: 'Copy as' }).focus()
  for (const time of ['first', 'second']) {
    await page.evaluate(() => navigator.clipboard.writeText(''))
    await page.keyboard.press('Enter')
    await menu.waitFor()
    await page.waitForFunction(() => document.activeElement?.closest('[role="menu"]'))
    await page.keyboard.press('End')
    await page.keyboard.press('Enter')
    await menu.waitFor({ state: 'hidden' })
    await page.waitForFunction(async () => (await navigator.clipboard.readText()) !== '')
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), page.url(), `the ${time} time`)
    await focused('[aria-haspopup="menu"]')
  }
  await page.keyboard.press('Enter')
  await menu.waitFor()
  await page.waitForFunction(() => document.activeElement?.closest('[role="menu"]'))
  await page.keyboard.press('Escape')
  await menu.waitFor({ state: 'hidden' })
  await focused('[aria-haspopup="menu"]')

  const views = page.getByRole('textbox', { name: 'Name of the view' })
  await page.getByRole('button', { name: 'Saved views' }).focus()
  await page.keyboard.press('Enter')
  await views.waitFor()
  await focused('[aria-label="Saved views"]')
  await page.keyboard.press('Enter')
  await views.waitFor({ state: 'hidden' })
})
