import { expect, test } from 'vitest'
import { everywhere, grid, parseRange, promString, queryPath } from './prometheus'

test('values go where their time is, and what is no number is a gap', () => {
  const answer = {
    status: 'success',
    data: {
      resultType: 'matrix',
      result: [
        {
          metric: { a: 'b' },
          values: [
            [10, '1'],
            [20, 'NaN'],
            [30, '3'],
            [70, '9'],
          ] as [number, string][],
        },
      ],
    },
  }
  expect(parseRange(answer, 10, 40, 10)).toEqual({
    times: [10, 20, 30, 40],
    series: [{ labels: { a: 'b' }, values: [1, null, 3, null] }],
  })
})

test('the grid is at multiples of the step', () => {
  expect(grid({ since: new Date(12_500), until: new Date(49_000) }, 10)).toEqual({ start: 20, end: 40 })
})

test('a value cannot leave its quotes', () => {
  expect(promString('a"} or up{x="\\')).toBe('"a\\"} or up{x=\\"\\\\"')
})

test('the path of a namespace, and of everything', () => {
  expect(queryPath('a/b', 'query')).toBe('/ns/a%2Fb/prometheus/api/v1/query')
  expect(queryPath(everywhere, 'query_range')).toBe('/prometheus/api/v1/query_range')
})
