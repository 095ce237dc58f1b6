import assert from 'node:assert/strict'
import { task } from '../harness/task.mjs'

task('find a trace by the number of an order', async ({ world, admin }) => {
  const { server } = await world()
  const { traces } = await server.call('TraceService/SearchTraces', { namespace: 'default', service: 'loan', limit: 1 })
  const { spans } = await server.call('TraceService/GetTrace', { namespace: 'default', traceId: traces[0].traceId })
  const order = spans
    .flatMap((/** @type {any} */ span) => span.attributes ?? [])
    .find((/** @type {any} */ one) => one.key === 'order.no')?.text
  assert.ok(order, 'the trace has an order')

  const me = await admin()
  const { page } = me
  await me.go('/default/traces')
  const box = page.getByRole('searchbox', { name: 'Trace id or a value, such as an order number' })
  await box.fill(order)
  await box.press('Enter')
  await page.waitForURL(`**/traces/${traces[0].traceId}*`)
  await page.getByRole('tree', { name: 'Spans over time' }).getByRole('treeitem').first().click()

  // What has no trace is said, with where it was looked for.
  await me.go('/default/traces')
  await box.fill('no-such-order-77')
  await box.press('Enter')
  await page.getByText(/^No trace of the last 7 days has no-such-order-77/).waitFor()
})
