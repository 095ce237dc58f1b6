import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { task } from '../harness/task.mjs'

const rule = `expr: sum by (service) (histogram_count(rate(gantry_request_duration_seconds{service="loan"}[5m]))) > 0
every: 5s
`

task('test who is told of alerts, and see how often a rule would have fired', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  /** @type {string[]} */
  const told = []
  let status = 200
  const desk = createServer((request, response) => {
    let body = ''
    request.on('data', (part) => (body += part))
    request.on('end', () => {
      told.push(body)
      response.writeHead(status).end('the desk is closed')
    })
  })
  await new Promise((resolve) => desk.listen(0, '127.0.0.1', () => resolve(undefined)))
  afterwards(async () => void desk.close())
  const { port } = /** @type {import('node:net').AddressInfo} */ (desk.address())
  const publish = async (/** @type {string} */ kind, /** @type {string} */ name, /** @type {string} */ content) => {
    await server.call('ReleaseService/Publish', {
      ...{ ref: { namespace: 'default', kind, name }, format: 'yaml', release: true, sensitive: kind === 'Receiver' },
      content: Buffer.from(content).toString('base64'),
    })
    afterwards(() => server.call('ReleaseService/Delete', { ref: { namespace: 'default', kind, name } }))
  }
  await publish('Receiver', 'desk', `webhook:\n  url: http://127.0.0.1:${port}/alerts\n`)

  const me = await admin()
  const { page } = me
  await me.go('/default/alerts?tab=receivers')
  const send = async () => {
    await page.getByRole('button', { name: 'Test receiver desk' }).click()
    const sure = page.getByRole('dialog', { name: 'Send a test message to desk?' })
    await sure.getByText('People will see it.').waitFor()
    await sure.getByRole('button', { name: 'Send', exact: true }).click()
  }
  const outcome = page.getByRole('status', { name: 'Test of desk' })
  await send()
  await outcome.getByText('webhook: delivered').waitFor()
  assert.equal(told.length, 1)
  status = 403
  await send()
  await outcome.getByText('403').waitFor()

  await publish('Alert', 'loans-at-all', rule)
  await me.go('/default/alerts/Alert/loans-at-all?from=-15m&to=now')
  await page.getByRole('button', { name: 'Try it over this time' }).click()
  await page.getByText(/^1 time in \d+ evaluations/).waitFor()
  const found = page.getByRole('table', { name: 'When it would have fired' })
  await found.getByRole('row').filter({ hasText: 'loan' }).getByText('goes on').waitFor()
})
