import assert from 'node:assert/strict'
import { task } from '../harness/task.mjs'

const password = 'says what is meant'

/** @param {import('../harness/server.mjs').Server} server @param {string} user */
async function endLogins(server, user) {
  const { tokens } = await server.call('AccessService/ListTokens', {})
  const logins = tokens.filter((/** @type {any} */ token) => token.user === user)
  assert.ok(logins.length > 0, `${user} is signed in`)
  for (const { id } of logins) await server.call('AccessService/RevokeToken', { id })
}

task(
  'a session ends while a dialog is open: sign in again, and go on typing',
  async ({ world, window, afterwards }) => {
    const { server } = await world()
    for (const name of ['rita', 'otto']) {
      const role = name === 'rita' ? 'ROLE_RELEASER' : 'ROLE_VIEWER'
      await server.call('AccessService/CreateUser', { name, password, grants: [{ namespace: 'default', role }] })
      afterwards(() => server.call('AccessService/DeleteUser', { name }))
    }
    const me = await window()
    // Calls that nobody is signed in for are refused, and the browser writes that down.
    me.tolerated.push(/status of 401/)
    const { page } = me
    await me.signIn('rita', password, '/default/alerts?tab=silences')
    await page.getByRole('button', { name: 'New silence' }).click()
    const silence = page.getByRole('dialog', { name: 'Silence', exact: true })
    await silence.getByRole('textbox', { name: 'Condition 1' }).fill('alertname="of the night"')
    await silence.getByRole('textbox', { name: 'Reason' }).fill('half a sentence')
    const address = page.url()

    await endLogins(server, 'rita')
    const login = page.getByRole('dialog', { name: 'Sign in' })
    await login.getByText('Your session has ended.').waitFor()
    assert.equal(await login.getByLabel('User', { exact: true }).inputValue(), 'rita')
    // Nothing behind it is within reach: Escape does not close it, and Tab stays.
    await page.keyboard.press('Escape')
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press('Tab')
      const outside = await page.evaluate(() => {
        const at = document.activeElement
        return at !== null && at !== document.body && !at.closest('dialog') ? at.outerHTML.slice(0, 200) : undefined
      })
      assert.equal(outside, undefined, 'the focus left the login')
    }
    await login.getByLabel('Password', { exact: true }).fill(password)
    await page.keyboard.press('Enter')
    await login.waitFor({ state: 'hidden' })
    assert.equal(page.url(), address)
    assert.equal(await silence.getByRole('textbox', { name: 'Reason' }).inputValue(), 'half a sentence')
    await page.getByRole('status').getByText('Live', { exact: true }).waitFor()
    await silence.getByRole('button', { name: /^Silence for/ }).click()
    await page.getByText(/^Silence .+ is in force$/).waitFor()
    const { documents } = await server.call('ReleaseService/List', { namespace: 'default', kind: 'Silence' })
    assert.equal(documents.length, 1)
    const [{ ref }] = documents
    afterwards(() => server.call('ReleaseService/Delete', { ref }))

    // Another user sees the same address, and nothing of what the first had open.
    await page.getByRole('button', { name: 'New silence' }).click()
    await silence.getByRole('textbox', { name: 'Reason' }).fill('of rita alone')
    await endLogins(server, 'rita')
    await login.getByLabel('User', { exact: true }).fill('otto')
    await login.getByLabel('Password', { exact: true }).fill(password)
    await page.keyboard.press('Enter')
    await login.waitFor({ state: 'hidden' })
    await page.getByRole('button', { name: 'New silence' }).waitFor()
    assert.equal(page.url(), address)
    assert.ok(await page.getByRole('button', { name: 'New silence' }).isDisabled(), 'a viewer silences nothing')
    assert.equal(await silence.count(), 0, 'the dialog of the one before is gone')
  },
)
