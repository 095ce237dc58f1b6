import { describe, expect, it } from 'vitest'
import { buildTrace } from './model'
import { activeRow, placesOf, withActive } from './places'
import { visibleRows } from './rows'
import { span } from './testing'

const trace = buildTrace([
  span('a', 0, 9),
  span('b', 1, 4, { parent: 'a' }),
  span('c', 2, 3, { parent: 'b' }),
  span('d', 5, 6, { parent: 'a' }),
  span('other', 7, 8, { parent: 'gone' }),
])
const node = (id: string) => trace.nodes.find((one) => one.span.spanId === id)!

describe('places', () => {
  it.each([
    ['all', [], undefined, { a: [0, 1, 2], b: [1, 1, 2], c: [2, 1, 1], d: [3, 2, 2], other: [4, 2, 2] }],
    ['what is folded has none', ['b'], undefined, { a: [0, 1, 2], b: [1, 1, 2], d: [2, 2, 2], other: [3, 2, 2] }],
    ['only those that are shown count', [], ['d'], { a: [0, 1, 1], d: [1, 1, 1] }],
  ] as [string, string[], string[] | undefined, Record<string, number[]>][])('%s', (_, folded, chosen, expected) => {
    const places = placesOf(visibleRows(trace, new Set(folded), chosen && new Set(chosen.map(node))))
    const found = [...places].map(([{ span }, { index, position, of }]) => [span.spanId, [index, position, of]])
    expect(Object.fromEntries(found)).toEqual(expected)
  })
})

describe('the row that keys begin at', () => {
  it.each([
    ['the chosen one', [], 'c', 'c'],
    ['what it is folded into', ['b'], 'c', 'b'],
    ['what that is folded into', ['a', 'b'], 'c', 'a'],
    ['the first', ['b'], undefined, 'a'],
  ] as [string, string[], string | undefined, string][])('%s', (_, folded, selected, expected) => {
    const rows = visibleRows(trace, new Set(folded))
    expect(activeRow(rows, placesOf(rows), selected === undefined ? undefined : node(selected))).toBe(node(expected))
  })
  it('is none without rows', () => expect(activeRow([], new Map(), node('a'))).toBeUndefined())
})

it.each([
  [[3, 4, 5], 4, [3, 4, 5]],
  [[3, 4, 5], 0, [0, 3, 4, 5]],
  [[3, 4, 5], 9, [3, 4, 5, 9]],
  [[3, 4, 5], undefined, [3, 4, 5]],
  [[], 2, [2]],
])('in the document of %j with the keyboard at %s', (range, active, expected) =>
  expect(withActive(range, active)).toEqual(expected),
)
