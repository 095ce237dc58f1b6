import assert from 'node:assert/strict'
import { Refused } from '../harness/server.mjs'
import { task } from '../harness/task.mjs'

task('make a token, see its secret once, and revoke it', async ({ world, admin }) => {
  const { server } = await world()
  const me = await admin()
  const { page } = me
  await me.go('/default/users?tab=tokens')
  await page.getByRole('button', { name: 'New token' }).click()
  const making = page.getByRole('dialog', { name: 'New token' })
  await making.getByLabel('For what').fill('nightly export')
  await making.getByRole('button', { name: 'Create token' }).click()
  const shown = page.getByRole('dialog', { name: 'The secret, shown this once' })
  const secret = await shown.getByLabel('Secret', { exact: true }).inputValue()
  assert.match(secret, /^gty_/)
  await server.call('InstanceService/ListServices', { namespace: 'default' }, secret)

  // Only its button closes it.
  await page.keyboard.press('Escape')
  await page.mouse.click(5, 5)
  assert.ok(await shown.isVisible(), 'a slip does not lose the secret')
  const traces = () =>
    page.evaluate(async () => {
      const stored = [window.localStorage, window.sessionStorage]
        .map((storage) => JSON.stringify({ ...storage }))
        .join('')
      const databases = (await window.indexedDB.databases()).map(({ name }) => name)
      return [
        window.location.href,
        document.title,
        JSON.stringify(window.history.state),
        stored,
        databases.join(),
      ].join('\n')
    })
  assert.ok(!(await traces()).includes(secret), 'the secret is in the dialog and nowhere else')
  await shown.getByRole('button', { name: 'I have it' }).click()
  await shown.waitFor({ state: 'hidden' })
  const row = page.getByRole('row').filter({ hasText: 'nightly export' })
  await row.getByText('service · default').waitFor()
  assert.ok(!(await page.content()).includes(secret), 'it is gone with the dialog')
  await page.reload()
  await row.waitFor()
  assert.ok(!(await page.content()).includes(secret))
  assert.ok(!(await traces()).includes(secret))

  await row.getByRole('button', { name: 'Revoke token nightly export' }).click()
  const sure = page.getByRole('dialog', { name: 'Revoke this token?' })
  await sure.getByText('“nightly export” is refused from now on').waitFor()
  await sure.getByRole('button', { name: 'Revoke', exact: true }).click()
  await row.waitFor({ state: 'detached' })
  await assert.rejects(
    server.call('InstanceService/ListServices', { namespace: 'default' }, secret),
    (error) => error instanceof Refused && error.status === 401,
  )
})
