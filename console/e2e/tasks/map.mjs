import assert from 'node:assert/strict'
import { join } from 'node:path'
import { eventually, Process } from '../harness/process.mjs'
import { bin } from '../harness/server.mjs'
import { task } from '../harness/task.mjs'

task('follow a call on the map to its traces, go back in time, and look at one lane', async (hand) => {
  const { world, admin, afterwards, folder } = hand
  const { server } = await world()
  // One instance of risk in a lane: what it serves shows up there a little later.
  const blue = new Process(
    join(bin, 'lending'),
    ['risk', '-instance', 'risk-blue', '-version', 'v1', '-zone', 'a', '-lane', 'blue'],
    {
      log: join(server.folder, 'risk-blue.log'),
      env: {
        GANTRY_GRPC_ADDRESS: server.grpc,
        GANTRY_TOKEN: await server.serviceToken({ default: 'ROLE_SERVICE' }),
        GANTRY_SNAPSHOT_FOLDER: folder('risk-blue'),
        OTEL_EXPORTER_OTLP_ENDPOINT: server.otlp,
      },
    },
  )
  afterwards(() => blue.stop(5_000))

  const me = await admin()
  const { page } = me
  const map = page.getByRole('group', { name: 'Map of who calls whom' })
  const node = (/** @type {string} */ name) => map.getByRole('button', { name: new RegExp(`^${name}, `) })
  const moment = page.getByRole('group', { name: 'Moment on the map' })

  // A press on the line just before its arrow's head; only risk calls the bureau.
  await me.go('/default/map')
  await node('bureau').waitFor()
  await me.settled()
  await eventually('a press on the line opens it', async () => {
    const box = await node('bureau').boundingBox()
    assert.ok(box)
    await page.mouse.click(box.x - 4, box.y + box.height / 2)
    return page.getByRole('complementary', { name: 'risk → bureau' }).isVisible()
  })
  const edge = page.getByRole('complementary', { name: 'risk → bureau' })
  await edge.getByText('p95', { exact: true }).first().waitFor()
  await edge.getByRole('link', { name: 'Traces' }).click()
  await page.getByRole('heading', { level: 1, name: 'Traces' }).waitFor()
  assert.equal(new URL(page.url()).searchParams.get('service'), 'bureau')
  await page.getByRole('table', { name: 'Traces' }).getByRole('link').first().waitFor()
  await page.goBack()

  // By keyboard alone: from node to node, open one, and back to it.
  await node('loan').focus()
  await page.keyboard.press('ArrowRight')
  await eventually('an arrow key leads to another node', () =>
    page.evaluate(() => {
      const name = document.activeElement?.getAttribute('aria-label') ?? ''
      return document.activeElement?.getAttribute('role') === 'button' && !name.startsWith('loan, ')
    }),
  )
  await node('loan').focus()
  await page.keyboard.press('Enter')
  await page.getByRole('complementary', { name: 'loan' }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('complementary', { name: 'loan' }).waitFor({ state: 'detached' })
  await eventually('the focus is back on the node', () =>
    page.evaluate(() => document.activeElement?.getAttribute('aria-label')?.startsWith('loan, ')),
  )

  // A moment that has passed has a link, and says that it is not now; one without data says so.
  await moment.getByRole('button', { name: 'Earlier' }).click()
  await moment.getByText('The past, not now').waitFor()
  const earlier = new URL(page.url()).searchParams.get('at')
  assert.ok(earlier && Date.parse(earlier) < Date.now() - 30_000, `at=${earlier}`)
  await me.go(`/default/map?window=1m&at=${new Date(Date.now() - 3_000).toISOString()}`)
  await node('bureau').waitFor()
  await moment.getByText('The past, not now').waitFor()
  await me.go('/default/map?at=2026-01-02T03:04:05Z')
  await page.getByText(/^No calls were seen in the 5m up to /).waitFor()
  await moment.getByRole('button', { name: 'Back to now' }).click()
  await moment.getByText('Live', { exact: true }).waitFor()
  await node('bureau').waitFor()
  assert.equal(new URL(page.url()).searchParams.get('at'), null)

  // In the lane is what risk-blue served, and what it called; who calls the portal is not.
  await eventually('calls in the lane are seen', async () => {
    const { edges = [] } = await server.call('TopologyService/Topology', { namespace: 'default', lane: 'blue' })
    return edges.some((/** @type {any} */ one) => one.callee === 'bureau')
  })
  await page.getByRole('combobox', { name: 'Lane' }).click()
  await page.locator('.ant-select-item-option').getByText('blue', { exact: true }).click()
  await page.getByText('Only calls in lane blue').waitFor()
  await node('load').waitFor({ state: 'detached' })
  for (const name of ['loan', 'risk', 'bureau']) await node(name).waitFor()
  assert.equal(await node('portal').count(), 0)
  assert.equal(new URL(page.url()).searchParams.get('lane'), 'blue')
})
