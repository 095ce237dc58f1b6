import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { expect, test } from 'vitest'
import { ChangeSchema } from '@/api/gen/gantry/v1/event_pb'
import { RankedErrorSchema } from '@/api/gen/gantry/v1/topology_pb'
import { causeOf, fingerprintText, freshness, rank } from './ranking'

const minute = 60_000
const change = (at: number, kind: string, service = '') =>
  create(ChangeSchema, { id: `${kind}@${at}`, kind, service, time: timestampFromMs(at * minute) })
const error = (
  service: string,
  code: string,
  fingerprint: bigint,
  count: number,
  first = 30,
  last = 50,
  uncertain = 0,
) =>
  create(RankedErrorSchema, {
    service,
    code,
    fingerprint,
    count: BigInt(count),
    uncertain: BigInt(uncertain),
    first: timestampFromMs(first * minute),
    last: timestampFromMs(last * minute),
  })
const series = {
  times: [0, 600, 1200, 1800, 2400],
  series: [
    { labels: { service: 'loan', code: 'busy' }, values: [null, 0, 0, 0.5, 0.1] },
    { labels: { service: 'risk', code: 'old' }, values: [0.01, 0, 0, 0, 0] },
  ],
}

test('by place every fingerprint is a group, by code they add up, and what only the series remember is there', () => {
  const errors = [error('loan', 'busy', 1n, 5), error('loan', 'busy', 2n, 9, 20, 40, 3), error('loan', 'log', 0n, 1)]
  const byPlace = rank(errors, series, [], new Date(0), 'place')
  expect(byPlace.groups.map(({ code, count, least }) => [code, count, least])).toEqual([
    ['busy', 9, 6],
    ['busy', 5, 5],
    ['log', 1, 1],
  ])
  const byCode = rank(errors, series, [], new Date(0), 'code')
  expect(byCode.groups.map(({ service, code, count, failed }) => [service, code, count, failed])).toEqual([
    ['loan', 'busy', 14, 360],
    ['loan', 'log', 1, undefined],
    ['risk', 'old', 0, 6],
  ])
  expect(byCode.groups[0]).toMatchObject({
    first: new Date(20 * minute),
    last: new Date(50 * minute),
    example: { fingerprint: 2n },
  })
  expect(byCode.groups[0]!.places).toHaveLength(2)
})

test('new is what began after memory does and was not in the series before', () => {
  const group = { service: 'loan', first: new Date(25 * minute), trend: [null, 0, 0, 0.5, 0.1] }
  expect(freshness(group, series.times, new Date(0), [])).toEqual({ change: undefined })
  expect(freshness(group, series.times, new Date(24.5 * minute), [])).toBeUndefined()
  expect(freshness(group, series.times, undefined, [])).toBeUndefined()
  expect(freshness({ ...group, trend: [0.1, 0, 0, 0.5, 0.1] }, series.times, new Date(0), [])).toBeUndefined()
})

test('the cause is the latest release, or change of the service itself, before the first error', () => {
  const first = new Date(30 * minute)
  const early = change(20, 'release.staged')
  const own = change(28, 'instance.registered', 'loan')
  const foreign = change(29, 'instance.registered', 'risk')
  const after = change(31, 'release.staged')
  const old = change(10, 'release.released')
  expect(causeOf('loan', first, [after, foreign, own, early, old])).toBe(own)
  expect(causeOf('loan', first, [after, foreign, early, old])).toBe(early)
  expect(causeOf('loan', first, [after, foreign, old])).toBeUndefined()
  // Whoever silenced the alert, or wrote a draft, did not bring it.
  const silence = create(ChangeSchema, { ...change(29, 'release.released'), target: 'Silence/known' })
  expect(causeOf('loan', first, [silence, change(29, 'release.published'), early])).toBe(early)
})

test('fingerprints are sixteen hexadecimal digits', () => {
  expect(fingerprintText(255n)).toBe('00000000000000ff')
  expect(fingerprintText(0n)).toBe('')
})
