import assert from 'node:assert/strict'
import { task } from '../harness/task.mjs'

task('sign in, after a wrong password, and sign out', async ({ world, window }) => {
  const { server } = await world()
  const me = await window()
  const { page } = me
  // The refusal is an answer like others, and the browser writes it to the console.
  me.tolerated.push(/status of 401.*\/console\/session/)
  await page.goto(`${server.address}/console/`)
  await page.getByLabel('User', { exact: true }).fill('admin')
  await page.getByLabel('Password', { exact: true }).fill('not the password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').getByText('Wrong user or password.').waitFor()
  // Nothing moves for this window, and what waits for the end of a movement must not wait for ever.
  await page.locator('.ant-btn-loading, .ant-btn-loading-icon').waitFor({ state: 'detached' })

  await page.getByLabel('Password', { exact: true }).fill(server.password)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  await page.getByRole('status').getByText('Live', { exact: true }).waitFor()

  const [cookie] = await me.context.cookies()
  assert.equal(cookie?.name, 'gantry_session')
  assert.ok(cookie.httpOnly, 'scripts cannot read the session')
  assert.equal(cookie.sameSite, 'Strict')
  assert.ok(!page.url().includes(cookie.value), 'no secret in the address')

  // A reload needs no password; who signs out is asked again, on a page deep inside too.
  await page.reload()
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  await page.getByRole('button', { name: 'Who you are, language, theme' }).click()
  await page.getByText('user:admin', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('User', { exact: true }).waitFor()
  assert.deepEqual(await me.context.cookies(), [])
  await page.goto(`${server.address}/console/default/overview`)
  await page.getByLabel('Password', { exact: true }).waitFor()
})
