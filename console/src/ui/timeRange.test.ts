import { expect, test } from 'vitest'
import { moment, resolve, stepOf, timeFlags } from './timeRange'

const now = Date.UTC(2026, 10, 26, 12)

test.each([
  ['now', now],
  ['-15m', now - 900_000],
  ['-2d', now - 2 * 86_400_000],
  ['2026-11-26T11:00:00Z', now - 3_600_000],
  ['-1y', undefined],
  ['yesterday', undefined],
  ['2026-13-45T99:99Z', undefined],
])('moment %s', (word, wanted) => expect(moment(word, now)).toBe(wanted))

test('a range that means nothing falls back', () => {
  const fallback = { since: new Date(now - 3_600_000), until: new Date(now) }
  expect(resolve({ from: 'x', to: 'now' }, now)).toEqual(fallback)
  expect(resolve({ from: 'now', to: '-1h' }, now)).toEqual(fallback)
  expect(resolve({ from: '-5m', to: 'now' }, now).since.getTime()).toBe(now - 300_000)
})

test('steps keep the points of a chart bounded', () => {
  for (const hours of [0.1, 1, 6, 24, 24 * 7, 24 * 31]) {
    const step = stepOf({ since: new Date(now - hours * 3_600_000), until: new Date(now) })
    expect((hours * 3600) / step).toBeLessThanOrEqual(240)
  }
})

test('a range as flags of a command', () => {
  expect(timeFlags({ from: '-7d', to: 'now' })).toEqual(['--since', '7d'])
  expect(timeFlags({ from: '-2h', to: '-1h' })).toEqual(['--since', '2h', '--until', '1h'])
  expect(timeFlags({ from: '2026-03-01T12:00:00Z', to: 'now' })).toEqual(['--since', '2026-03-01T12:00:00Z'])
})
