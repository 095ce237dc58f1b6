import { expect, test } from 'vitest'
import { errorShare, sparkPath } from './Figure'

test('a spark line begins at zero, and breaks where nothing is known', () => {
  expect(sparkPath([1, 1], 10, 12)).toBe('M0.0 1.0L10.0 1.0')
  expect(sparkPath([0, null, 2], 10, 12)).toBe('M0.0 11.0M10.0 1.0')
  expect(sparkPath([0, 0], 10, 12)).toBe('M0.0 11.0L10.0 11.0')
  expect(sparkPath([null, 1], 10, 12)).toBe('')
})

test('no calls have no share of errors', () => {
  expect(errorShare({ calls: 0n, failed: 0n })).toBeUndefined()
  expect(errorShare({ calls: 4n, failed: 1n })).toBe(0.25)
})
