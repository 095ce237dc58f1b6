import { expect, test } from 'vitest'
import { join, last } from './traffic'

test('an outcome that nobody had is 0, and no calls are a gap', () => {
  const times = [0, 15, 30]
  const traffic = join(
    {
      times,
      series: [
        { labels: { outcome: 'success' }, values: [null, 3, 4] },
        { labels: { outcome: 'failed' }, values: [null, null, 1] },
      ],
    },
    {
      p50: { times, series: [] },
      p99: { times, series: [{ labels: {}, values: [null, 0.1, 0.2] }] },
    },
  )
  expect(traffic.rate).toEqual([null, 3, 5])
  expect(traffic.failed).toEqual([null, 0, 1])
  expect(traffic.refused).toEqual([null, 0, 0])
  expect(traffic.errors).toEqual([null, 0, 0.2])
  expect(traffic.p50).toEqual([null, null, null])
  expect(last(traffic.p99)).toBe(0.2)
  expect(last(traffic.p50)).toBeUndefined()
})
