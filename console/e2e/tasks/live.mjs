import assert from 'node:assert/strict'
import { Server } from '../harness/server.mjs'
import { task } from '../harness/task.mjs'

task('see that the server is away since when, and that it is back', async ({ folder, window, afterwards }) => {
  // A server of its own: the others keep theirs.
  const server = await Server.start(folder('live'))
  afterwards(() => server.stop())
  const me = await window({}, server.address)
  const { page } = me
  await me.signIn('admin', server.password)
  const sign = page.getByRole('banner').getByRole('status')
  await sign.getByText('Live', { exact: true }).waitFor()

  // Nothing answers from here on, which the browser writes to its console.
  me.tolerated.push(
    /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|status of 503/,
  )
  await server.stop()
  await sign.getByText('Disconnected').waitFor({ timeout: 20_000 })
  const banner = page.getByText(/^No connection to the server since \d\d:\d\d:\d\d\. What you see is of then\.$/)
  await banner.waitFor()
  // What was seen stays in sight.
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()

  await server.run()
  await page
    .getByRole('button', { name: 'Try now' })
    .click({ timeout: 5_000 })
    .catch(() => {})
  await sign.getByText('Live', { exact: true }).waitFor({ timeout: 30_000 })
  assert.equal(await banner.count(), 0)
})
