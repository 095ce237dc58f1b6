import { describe, expect, it } from 'vitest'
import { create } from '@bufbuild/protobuf'
import { BusinessEventSchema, type BusinessEvent } from '@/api/gen/gantry/v1/event_pb'
import { joined, mostAnswered, older, timeOf, type Ask, type Edge, type Slice, type Step } from './walk'

const at = (time: bigint, sequence: number): BusinessEvent =>
  create(BusinessEventSchema, {
    id: `e${sequence}`,
    sequence: BigInt(sequence),
    time: { seconds: time / 1_000_000_000n, nanos: Number(time % 1_000_000_000n) },
  })

/** A log that answers as the server does: the newest to come, in the order in which they came; by sequence numbers when it is followed. */
function log(times: readonly bigint[], { work = Infinity } = {}) {
  const all = times.map((time, i) => at(time, i + 1))
  const asked: Slice[] = []
  const ask: Ask = async (slice) => {
    asked.push(slice)
    const { since, until, limit, after } = slice
    const inside = all.filter((event) => timeOf(event) >= since && timeOf(event) < until)
    const parts = { missing: [], partial: [] }
    if (after !== undefined) {
      const events = inside.filter(({ sequence }) => sequence > BigInt(after || 0)).slice(0, limit)
      return { ...parts, events, truncated: false, next: String(events.at(-1)?.sequence ?? after) }
    }
    const truncated = until - since > work
    const events = truncated ? inside.toReversed().slice(0, 3) : inside.toReversed().slice(0, limit)
    return { ...parts, events, truncated, next: '' }
  }
  return { ask, asked, all }
}

async function walk(ask: Ask, since: bigint, until: bigint, wanted: number) {
  const steps: Step[] = []
  let edge: Edge = { since, at: until }
  while (edge.at > since) {
    const step = await older(ask, edge, wanted)
    steps.push(step)
    edge = step.edge
    if (steps.length > 500) throw new Error('it does not end')
  }
  return steps
}

const second = 1_000_000_000n
const range = (count: number, of: (i: number) => bigint) => Array.from({ length: count }, (_, i) => of(i))
/** Always the same, in any order. */
const shuffled = (times: bigint[]) =>
  times
    .map((time, i) => ({ time, by: (i * 7919) % 10007 }))
    .sort((a, b) => a.by - b.by)
    .map(({ time }) => time)

describe('a walk back through events', () => {
  it.each<[string, bigint[], object?]>([
    ['none', []],
    ['few', range(5, (i) => BigInt(i) * second)],
    ['as many as are asked for', range(200, (i) => BigInt(i) * second)],
    ['thousands, evenly', range(10_000, (i) => (BigInt(i) * 3600n * second) / 10_000n)],
    ['in bursts', range(9_000, (i) => BigInt(i % 3) * 1000n * second + BigInt(i))],
    ['that come in any order', shuffled(range(6_000, (i) => (BigInt(i) * 3600n * second) / 6_000n))],
    [
      'late ones after the newest',
      [...range(3_000, (i) => BigInt(i) * second + 5n), ...range(300, (i) => BigInt(i * 9))],
    ],
    ['thousands of one moment', [...range(50, (i) => BigInt(i) * second), ...range(4_500, () => 1800n * second)]],
    ['two such moments, a nanosecond apart', range(5_000, (i) => 77n * second + BigInt(i % 2))],
    ['where the work is too much', range(3_000, (i) => BigInt(i) * second), { work: 200n * second }],
  ])('%s', async (_, times, options) => {
    const { ask, all } = log(times, options)
    const steps = await walk(ask, 0n, 3600n * second, 200)
    const found = joined(steps)
    expect(new Set(found.map(({ id }) => id))).toEqual(new Set(all.map(({ id }) => id)))
    expect(found).toHaveLength(all.length)
    const order = found.map(timeOf)
    expect(order).toEqual(order.toSorted((a, b) => (a < b ? 1 : a > b ? -1 : 0)))
    expect(steps.some(({ hole }) => hole)).toBe(false)
  })

  it('does not look beyond the time that was asked for', async () => {
    const { ask, asked } = log(range(5_000, (i) => BigInt(i) * second))
    const steps = await walk(ask, 1000n * second, 3000n * second, 1000)
    expect(joined(steps)).toHaveLength(2000)
    expect(asked.every(({ since, until }) => since >= 1000n * second && until <= 3000n * second)).toBe(true)
  })

  it('takes one question for what fits into one answer, and about one a step for what does not', async () => {
    const few = log(range(150, (i) => BigInt(i) * second))
    await walk(few.ask, 0n, 3600n * second, 200)
    expect(few.asked).toHaveLength(1)
    const many = log(range(10_000, (i) => (BigInt(i) * 3600n * second) / 10_000n))
    await walk(many.ask, 0n, 3600n * second, 1000)
    expect(many.asked.length).toBeLessThan(20)
  })

  it('says when a moment has more than are read', async () => {
    const { ask } = log(range(21 * mostAnswered, () => second))
    const steps = await walk(ask, 0n, 2n * second, 200)
    expect(steps.some(({ hole }) => hole)).toBe(true)
    expect(joined(steps)).toHaveLength(20 * mostAnswered)
  })

  it('tells what nodes are missing, once', async () => {
    const { ask } = log(range(3_000, (i) => BigInt(i) * second))
    const step = await older(
      async (slice) => ({ ...(await ask(slice)), missing: ['n2'], partial: ['damaged'] }),
      { since: 0n, at: 3600n * second },
      200,
    )
    expect(step).toMatchObject({ missing: ['n2'], partial: ['damaged'] })
  })
})
