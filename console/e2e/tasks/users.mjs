import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { Refused } from '../harness/server.mjs'
import { task } from '../harness/task.mjs'

const first = 'eight and more'
const second = 'another eight and more'
const third = 'of her own choice'

/** @param {import('playwright-core').Page} page @param {string} label @param {string} option */
async function choose(page, label, option) {
  await page.getByRole('combobox', { name: label }).click()
  await page.locator('.ant-select-dropdown:visible').getByTitle(option, { exact: true }).click()
}

task('make a user, give and take roles, set a password, disable and delete', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  const login = (/** @type {string} */ password) => server.call('AccessService/Login', { user: 'nora', password })
  const refused = (/** @type {unknown} */ error) => error instanceof Refused && error.status === 401
  afterwards(() => server.call('AccessService/DeleteUser', { name: 'nora' }).catch(() => {}))
  const me = await admin()
  const { page } = me
  await me.go('/default/users')
  await page.getByRole('button', { name: 'New user' }).click()
  const making = page.getByRole('dialog', { name: 'New user' })
  await making.getByLabel('Name', { exact: true }).fill('nora')
  await making.getByLabel('Password', { exact: true }).fill(first)
  await choose(page, 'Role 1', 'developer')
  await making.getByRole('button', { name: 'Create', exact: true }).click()
  await making.waitFor({ state: 'hidden' })
  const row = page.getByRole('row').filter({ hasText: 'nora' })
  await row.getByText('developer · default').waitFor()
  await login(first)

  const act = async (/** @type {string} */ name) => {
    await row.getByRole('button', { name: 'Actions for nora' }).click()
    await page.getByRole('menuitem', { name }).click()
  }
  await act('Change roles')
  const roles = page.getByRole('dialog', { name: 'What nora may do' })
  await roles.getByRole('button', { name: 'Add a role' }).click()
  await roles.getByRole('combobox', { name: 'Namespace 2' }).fill('billing')
  await choose(page, 'Role 2', 'releaser')
  await roles.getByRole('button', { name: 'Save' }).click()
  await row.getByText('releaser · billing').waitFor()
  await page.getByRole('button', { name: 'Undo', exact: true }).click()
  await row.getByText('releaser · billing').waitFor({ state: 'detached' })
  await row.getByText('developer · default').waitFor()

  await act('Set password')
  const password = page.getByRole('dialog', { name: 'New password for nora' })
  await password.getByLabel('Password', { exact: true }).fill('short')
  await password.getByRole('button', { name: 'Set password' }).click()
  await password.getByText('Too short or too long').waitFor()
  await password.getByLabel('Password', { exact: true }).fill(second)
  await password.getByRole('button', { name: 'Set password' }).click()
  await password.waitFor({ state: 'hidden' })
  await assert.rejects(login(first), refused)
  await login(second)

  await act('Disable')
  await page.getByRole('dialog', { name: 'Disable nora?' }).getByRole('button', { name: 'Disable' }).click()
  await row.getByText('disabled').waitFor()
  await assert.rejects(login(second))
  await page.getByRole('button', { name: 'Undo', exact: true }).last().click()
  await row.getByText('may sign in').waitFor()

  await act('Delete')
  const deleting = page.getByRole('dialog', { name: 'Delete nora?' })
  const sure = deleting.getByRole('button', { name: 'Delete' })
  assert.ok(await sure.isDisabled(), 'a name must be typed first')
  await deleting.getByLabel('Type nora to confirm').fill('nor')
  assert.ok(await sure.isDisabled(), 'the whole name')
  await deleting.getByLabel('Type nora to confirm').fill('nora')
  await sure.click()
  await row.waitFor({ state: 'detached' })
  await assert.rejects(login(second), refused)
})

task('change my own password, and see what I may not do', async ({ world, window, afterwards }) => {
  const { server } = await world()
  await server.call('AccessService/CreateUser', {
    name: 'wanda',
    password: first,
    grants: [{ namespace: 'default', role: 'ROLE_VIEWER' }],
  })
  afterwards(() => server.call('AccessService/DeleteUser', { name: 'wanda' }))
  const me = await window()
  // The wrong password, and what is asked between the end of the session and the next.
  me.tolerated.push(/status of 401/, /status of 403 .*(ListUsers|CreateToken)/)
  const { page } = me
  await me.signIn('wanda', first, '/default/users')
  await page.getByText('Users are shown to administrators').waitFor()
  await page.getByRole('tab', { name: 'Tokens' }).click()
  assert.ok(await page.getByRole('button', { name: 'New token' }).isDisabled())
  await eventually('the disabled button says why', async () => {
    // By force, since nothing can be done with it; so it may still be on its way when the mouse comes.
    await page.mouse.move(0, 0)
    await page.getByRole('button', { name: 'New token' }).hover({ force: true })
    await page.getByRole('tooltip').getByText('Only administrators may do this.').waitFor({ timeout: 1_000 })
    return true
  })
  const status = await page.evaluate(async () => {
    const answer = await fetch('/gantry.v1.AccessService/CreateToken', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ description: 'mine', grants: [{ namespace: 'default', role: 'ROLE_VIEWER' }] }),
    })
    return answer.status
  })
  assert.equal(status, 403)

  await page.getByRole('button', { name: 'Change my password' }).click()
  const dialog = page.getByRole('dialog', { name: 'Change your password' })
  const fill = async (/** @type {string} */ old, /** @type {string} */ next, again = next) => {
    await dialog.getByLabel('Old password').fill(old)
    await dialog.getByLabel('New password', { exact: true }).fill(next)
    await dialog.getByLabel('New password again').fill(again)
    await dialog.getByRole('button', { name: /Change$/ }).click()
  }
  await fill(first, third, second)
  await dialog.getByText('The two are not the same.').waitFor()
  // A wrong old password is said in the dialog; it ends no session.
  await fill('not the old one', third)
  await dialog.getByRole('alert').getByText('the user or the password is wrong').waitFor()
  assert.equal(await page.getByRole('dialog', { name: 'Sign in' }).count(), 0)
  await fill(first, third)
  const login = page.getByRole('dialog', { name: 'Sign in' })
  await login.getByLabel('Password', { exact: true }).fill(third)
  await page.keyboard.press('Enter')
  await login.waitFor({ state: 'hidden' })
  await page.getByRole('heading', { level: 1, name: 'Users and tokens' }).waitFor()
  await assert.rejects(
    server.call('AccessService/Login', { user: 'wanda', password: first }),
    (error) => error instanceof Refused && error.status === 401,
  )
})
