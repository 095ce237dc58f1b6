import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

task('narrow traces to a part of the scatter, and go back', async ({ world, admin }) => {
  const { server } = await world()
  await eventually('there are traces that are older than a quarter of a minute', async () => {
    const within = { since: new Date(Date.now() - 30_000), until: new Date(Date.now() - 15_000) }
    const { traces = [] } = await server.call('TraceService/SearchTraces', {
      namespace: 'default',
      service: 'loan',
      within,
    })
    return traces.length > 0
  })
  const me = await admin()
  const { page } = me
  await me.go('/default/traces?service=loan&from=-1m&to=now&limit=1000')
  const list = page.getByRole('table', { name: 'Traces', exact: true })
  await list.getByRole('link').first().waitFor()
  const before = page.url()
  const dots = page.getByRole('figure', { name: 'Duration over time' }).locator('.u-over')
  await dots.waitFor()

  // From half a minute ago to some seconds ago.
  const box = await dots.boundingBox()
  assert.ok(box)
  const y = box.y + box.height / 2
  await page.mouse.move(box.x + box.width * 0.5, y)
  await page.mouse.down()
  await page.mouse.move(box.x + box.width * 0.85, y, { steps: 8 })
  await page.mouse.up()
  await page.waitForURL((url) => Date.parse(url.searchParams.get('from') ?? '') > 0)
  const { searchParams } = new URL(page.url())
  const from = Date.parse(searchParams.get('from') ?? '')
  const to = Date.parse(searchParams.get('to') ?? '')
  assert.ok(to > from, `${from} to ${to}`)
  assert.equal(searchParams.get('service'), 'loan')
  await me.settled()

  // What the list has lies in it, and by the API nothing else does.
  const shown = () =>
    list.evaluate((table) => [...table.querySelectorAll('time')].map(({ dateTime }) => Date.parse(dateTime)))
  await eventually('the list has what was in the part', async () => {
    const times = await shown()
    return times.length > 0 && times.every((time) => time >= from - 1000 && time <= to + 1000)
  })

  await page.goBack()
  assert.equal(page.url(), before)
  await eventually('the list has the others again', async () =>
    (await shown()).some((time) => time < from - 1000 || time > to + 1000),
  )
})

task('compare a fast trace with a slow one', async ({ world, admin }) => {
  const { server } = await world()
  const { traces } = await server.call('TraceService/SearchTraces', {
    namespace: 'default',
    service: 'loan',
    limit: 200,
  })
  /** @param {any} trace */
  const length = (trace) => Number.parseFloat(trace.duration)
  // The newest may not be whole yet, and then say nothing of how they begin.
  const whole = traces.filter((/** @type {any} */ trace) => trace.complete)
  const alike = whole
    .filter((/** @type {any} */ trace) => trace.rootName === whole[0].rootName)
    .sort((/** @type {any} */ a, /** @type {any} */ b) => length(a) - length(b))
  const [fast, slow] = [alike[0].traceId, alike.at(-1).traceId]
  assert.notEqual(fast, slow)

  const me = await admin()
  const { page } = me
  await me.go('/default/traces?service=loan&limit=1000')
  const list = page.getByRole('table', { name: 'Traces', exact: true })
  // The fastest come first; the slowest when it is turned round.
  const chosen = (/** @type {RegExp} */ name) => list.getByRole('button', { name }).first()
  const byDuration = list.getByRole('button', { name: /Duration/ })
  await byDuration.click()
  await byDuration.click()
  await chosen(/^Compare$/).click()
  await page.getByText(/is to be compared: choose another/).waitFor()
  await byDuration.click()
  await list
    .getByRole('row')
    .nth(1)
    .getByRole('button', { name: /^Compare with/ })
    .click()
  await page.getByRole('heading', { level: 1, name: 'Compare traces' }).waitFor()
  await me.settled()
  assert.match(page.url(), /left=[0-9a-f]{32}&right=[0-9a-f]{32}/)
  await page.getByText(/^The right one took .* more$/).waitFor()
  const places = page.getByRole('table', { name: 'Spans by their place' })
  await places.getByRole('row').nth(1).waitFor()
  const all = Number(await places.getAttribute('aria-rowcount'))
  await page.getByRole('switch', { name: 'Only what differs' }).click()
  await page.waitForURL('**only=different**')
  await eventually(
    'there are fewer places',
    async () =>
      Number(await places.getAttribute('aria-rowcount')) <= all && (await places.getByText(/^\+/).count()) > 0,
  )

  // The other way round, what was more is less.
  await page.getByRole('button', { name: 'Swap sides' }).click()
  await page.getByText(/^The right one took .* less$/).waitFor()

  // Two that are known by their ids, in a link.
  await me.go(`/default/traces/compare?left=${fast}&right=${slow}`)
  await page.getByText(/^The right one took .* more$/).waitFor()
})
