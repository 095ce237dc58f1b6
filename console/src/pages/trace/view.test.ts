import { describe, expect, it } from 'vitest'
import { parseView, ticks, viewWord, zoom } from './view'

it.each([
  ['12.5-80', { from: 12.5, to: 80 }],
  ['0-1000', { from: 0, to: 100 }],
  ['80-20', undefined],
  ['200-300', undefined],
  ['x', undefined],
  [null, undefined],
])('%s', (word, view) => expect(parseView(word, 100)).toEqual(view))

it('is the same after the query string', () =>
  expect(parseView(viewWord({ from: 0.125, to: 99.5 }), 100)).toEqual({ from: 0.125, to: 99.5 }))

describe('zoom', () => {
  it.each([
    ['nearer keeps the middle', { from: 0, to: 100 }, 0.5, undefined, { from: 25, to: 75 }],
    ['nearer keeps a moment in its place', { from: 0, to: 100 }, 0.5, 20, { from: 10, to: 60 }],
    ['further never leaves the trace', { from: 0, to: 40 }, 2, undefined, { from: 0, to: 80 }],
    ['all', { from: 10, to: 80 }, 2, undefined, undefined],
  ] as const)('%s', (_, view, factor, around, expected) => expect(zoom(view, 100, factor, around)).toEqual(expected))
})

it.each([
  [{ from: 0, to: 100 }, 5, [0, 20, 40, 60, 80, 100]],
  [{ from: 33, to: 41 }, 4, [34, 36, 38, 40]],
  [{ from: 0, to: 0 }, 4, []],
])('ticks of %j', (view, about, expected) => expect(ticks(view, about)).toEqual(expected))
