import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { expect, test } from 'vitest'
import { ChangeSchema } from '@/api/gen/gantry/v1/event_pb'
import { clusters, within } from './markers'
import { parseState, stepMs, windowMs } from './state'

const change = (ms: number, kind: string) => create(ChangeSchema, { kind, time: timestampFromMs(ms), service: 'a' })

test('changes near to each other are one sign, and a release among them shows', () => {
  const list = [
    change(100_000, 'instance.registered'),
    change(101_000, 'release.staged'),
    change(3_000_000, 'instance.removed'),
    change(9_000_000, 'release.staged'),
  ]
  const signs = clusters(list, 0, 3_600_000)
  expect(signs.map(({ release, changes, at }) => [release, changes.length, at])).toEqual([
    [true, 2, 101_000],
    [false, 1, 3_000_000],
  ])
  expect(clusters(list, 5, 5)).toEqual([])
  expect(within(list, 100_500, 3_000_000)).toHaveLength(2)
})

test('the query string says what is shown; nonsense counts as not said', () => {
  const state = parseState(
    new URLSearchParams('focus=loan&hops=2&unwell=1&least=0.5&window=15m&at=2026-11-26T05:00:00Z&view=table'),
  )
  expect(state).toMatchObject({
    focus: 'loan',
    hops: 2,
    unwell: true,
    least: 0.5,
    window: '15m',
    view: 'table',
    at: Date.parse('2026-11-26T05:00:00Z'),
  })
  expect(parseState(new URLSearchParams('hops=99&least=-1&window=2y&at=x&group=y&view=z'))).toMatchObject({
    hops: 1,
    least: undefined,
    window: '5m',
    at: undefined,
    group: 'none',
    view: 'map',
  })
})

test('a moment that is to come is now', () => {
  const now = Date.parse('2026-11-26T05:00:00Z')
  const at = (text: string) => parseState(new URLSearchParams({ at: text }), now).at
  expect(at('2026-11-26T05:00:01Z')).toBeUndefined()
  expect(at('2026-11-26T04:59:59Z')).toBe(now - 1000)
  expect(parseState(new URLSearchParams('group=both&open=loan+risk')).open).toEqual(['loan', 'risk'])
  expect(parseState(new URLSearchParams()).open).toEqual([])
})

test('steps are whole minutes', () => {
  expect(windowMs('5m')).toBe(300_000)
  expect(windowMs('1h')).toBe(3_600_000)
  expect(stepMs(3_600_000)).toBe(60_000)
  expect(stepMs(60_000)).toBe(60_000)
  expect(stepMs(24 * 3_600_000)).toBe(24 * 60_000)
})
