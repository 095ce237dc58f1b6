import { expect, test } from 'vitest'
import { extremes, nearest } from './summary'

test('extremes leave out gaps', () => {
  expect(extremes([null, 3, 1, null])).toEqual({ least: 1, most: 3, last: 1 })
  expect(extremes([null])).toBeUndefined()
})

test('the nearest point is within reach', () => {
  const points = [
    { x: 0, y: 0 },
    { x: 10, y: 0 },
  ]
  expect(nearest(points, 7, 1, 8)).toBe(1)
  expect(nearest(points, 5, 30, 8)).toBeUndefined()
})
