import { expect, test } from 'vitest'
import { each } from './pool'

test('some at a time, and one that fails stops nobody', async () => {
  let running = 0
  let most = 0
  const told: string[] = []
  const outcomes = await each(
    [1, 2, 3, 4, 5],
    2,
    async (n) => {
      most = Math.max(most, ++running)
      await Promise.resolve()
      running--
      if (n === 2) throw new Error('no')
      return n * 10
    },
    (i, outcome) => told.push(`${i} ${outcome.state}`),
    new AbortController().signal,
  )
  expect(most).toBe(2)
  expect(outcomes.map((o) => (o.state === 'done' ? o.answer : o.state))).toEqual([10, 'failed', 30, 40, 50])
  expect(told).toContain('1 failed')
})

test('what has not begun is left undone when it is stopped', async () => {
  const stop = new AbortController()
  const outcomes = await each(
    [1, 2, 3],
    1,
    async (n) => {
      if (n === 1) stop.abort()
      return n
    },
    () => {},
    stop.signal,
  )
  expect(outcomes.map((o) => o.state)).toEqual(['done', 'waiting', 'waiting'])
})
