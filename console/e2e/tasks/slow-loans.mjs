import assert from 'node:assert/strict'
import { attempt } from '../harness/fleet.mjs'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

task('find out why loans are slow', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  const slow = attempt('bureau-slow.yaml')
  const ref = { namespace: 'default', kind: slow.kind, name: slow.name }
  const { document } = await server.call('ReleaseService/History', { ref })
  await server.publish(slow.kind, slow.name, slow.content)
  afterwards(() => server.call('ReleaseService/Rollback', { ref, version: document.releasedVersion }))
  await eventually(
    'a slow loan is seen',
    async () =>
      (
        await server.call('TraceService/SearchTraces', {
          namespace: 'default',
          service: 'bureau',
          minDuration: '0.3s',
          limit: 1,
        })
      ).traces?.length > 0,
    { within: 60_000, every: 500 },
  )

  // What changed is on the overview; loan is a click away from the list of services.
  const { page, settled } = await opened(admin, '/default/overview')
  await page.getByRole('region', { name: 'Changed in the last hour' }).getByText('bureau.yaml').first().waitFor()
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Services' }).click()
  await page.getByRole('searchbox', { name: 'Search services' }).fill('loan')
  await page.getByRole('table', { name: 'Services' }).getByRole('link', { name: 'loan', exact: true }).click()
  await page.getByRole('heading', { level: 1, name: 'loan' }).waitFor()
  await settled()

  // From the service to its traces, the slow ones alone.
  await page.getByRole('link', { name: 'Traces', exact: true }).last().click()
  await page.getByRole('heading', { level: 1, name: 'Traces' }).waitFor()
  const least = page.getByRole('textbox', { name: 'Took at least' })
  await least.fill('300ms')
  await least.press('Enter')
  const found = page.getByRole('table', { name: 'Traces' }).getByRole('link').first()
  await found.waitFor({ timeout: 20_000 })
  await found.click()

  // In the waterfall the time goes to the bureau: its span is the critical path's longest, and opens by a click.
  const spans = page.getByRole('tree', { name: 'Spans over time' })
  const culprit = spans
    .getByRole('treeitem', { name: /^bureau: .*, \d{3}(\.\d+)? ms|^bureau: .*, \d(\.\d+)? s/ })
    .first()
  await culprit.waitFor()
  await culprit.click()
  await spans.getByRole('treeitem', { selected: true, name: /^bureau: / }).waitFor()
  await page
    .getByRole('complementary', { name: 'Span' })
    .getByText('bureau.attempts')
    .or(page.getByRole('complementary', { name: 'Span' }).getByText('bureau-1'))
    .first()
    .waitFor()
  // What was changed before is beside it.
  await page.getByRole('region', { name: 'Changed before it' }).getByText('Config/bureau.yaml').first().waitFor()
  assert.match(page.url(), /\/console\/default\/traces\/[0-9a-f]{32}/)
})

/** @param {import('../harness/task.mjs').Hand['admin']} admin @param {string} path */
async function opened(admin, path) {
  const me = await admin()
  await me.go(path)
  return { page: me.page, settled: () => me.settled() }
}
