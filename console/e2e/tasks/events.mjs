import assert from 'node:assert/strict'
import { task } from '../harness/task.mjs'

const topic = 'walked.step'

task('walk through events beyond the first page, to the last one', async ({ world, admin }) => {
  const { server } = await world()
  // Evenly over half an hour; more of one moment than one answer holds; and some that come long after their time.
  const now = Date.now()
  const times = [
    ...Array.from({ length: 2400 }, (_, i) => now - 1_800_000 + i * 700),
    ...Array.from({ length: 1300 }, () => now - 900_000),
    ...Array.from({ length: 300 }, (_, i) => now - 1_790_000 + i * 5_000),
  ]
  const emit = (/** @type {object[]} */ events) => server.call('EventService/Emit', { namespace: 'default', events })
  for (let at = 0; at < times.length; at += 1000) {
    const events = times.slice(at, at + 1000).map((time, i) => ({
      topic,
      service: 'walker',
      time: new Date(time).toISOString(),
      fields: { number: { integer: String(at + i) } },
    }))
    const { stored } = await emit(events)
    assert.equal(stored, events.length)
  }

  const me = await admin()
  const { page } = me
  await me.go(`/default/events?topic=${topic}&from=-1h&to=now`)
  const list = page.getByRole('table', { name: 'Events', exact: true })
  await list.getByRole('row').nth(1).waitFor()
  await page.getByText(/^All events back to/).waitFor()

  // By the button, and by scrolling: what came into sight is read in the page, for there are only so many rows at a time.
  await page.getByRole('button', { name: 'Load older' }).click()
  /** @type {{ numbers: number[], ordered: boolean }} */
  const seen = await list.evaluate(async (table) => {
    const numbers = new Set()
    let ordered = true
    const read = () => {
      const rows = [...table.querySelectorAll('[data-index]')].sort(
        (a, b) => Number(a.getAttribute('data-index')) - Number(b.getAttribute('data-index')),
      )
      let before = '9'
      for (const row of rows) {
        const number = /number=(\d+)/.exec(row.textContent ?? '')?.[1]
        if (number) numbers.add(Number(number))
        const time = row.querySelector('time')?.dateTime ?? ''
        ordered &&= time <= before
        before = time
      }
    }
    read()
    // Until nothing more has come for a while.
    for (let still = 0; still < 40;) {
      const before = table.scrollTop
      table.scrollBy(0, 500)
      // The rows are there with the next frame.
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
      if (table.scrollTop === before) {
        still++
        await new Promise((resolve) => setTimeout(resolve, 50))
      } else still = 0
      read()
    }
    return { numbers: [...numbers], ordered }
  })
  assert.equal(seen.numbers.length, times.length, 'each event is there')
  assert.ok(seen.ordered, 'the newest come first')
  await page.getByText('These are all events of this time.').waitFor()
  await page.getByRole('heading', { name: '4,000 events' }).waitFor()
  assert.equal(await page.getByRole('button', { name: 'Load older' }).count(), 0)

  // What cannot be read is said where it would be, and can be tried again.
  me.tolerated.push(/status of 503/)
  await page.route('**/gantry.v1.EventService/Query', (route) =>
    route.fulfill({ status: 503, contentType: 'application/json', body: '{"code":"unavailable","message":"not now"}' }),
  )
  await me.go(`/default/events?topic=${topic}`)
  await page.getByText('not now').first().waitFor()
  await page.unroute('**/gantry.v1.EventService/Query')
  await page.getByRole('button', { name: 'Try again' }).first().click()
  await list.getByRole('row').nth(1).waitFor()

  // Live: what comes now stands at the top.
  await page.getByRole('switch', { name: 'Live' }).click()
  await page.getByText(/^Live: new events come by themselves/).waitFor()
  await list.getByRole('row').nth(1).waitFor()
  await emit([{ topic, service: 'walker', fields: { number: { integer: '424242' } } }])
  await list.getByRole('row').nth(1).getByText('424242').waitFor()
})
