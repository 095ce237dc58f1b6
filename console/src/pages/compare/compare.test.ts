import { describe, expect, it } from 'vitest'
import { buildTrace } from '../trace/model'
import { span } from '../trace/testing'
import { choices, compareTraces, differs, explains, ranDifferently } from './compare'

const fast = buildTrace([
  span('a', 0, 20, { name: 'POST /loans', service: 'portal' }),
  span('b', 1, 5, { parent: 'a', name: 'Assess', service: 'risk', instance: 'risk-1' }),
  span('c', 6, 8, { parent: 'a', name: 'INSERT' }),
  span('d', 2, 3, { parent: 'b', name: 'GET', service: 'risk', instance: 'risk-1' }),
])
const slow = buildTrace([
  span('1', 100, 190, { name: 'POST /loans', service: 'portal' }),
  span('2', 101, 140, { parent: '1', name: 'Assess', service: 'risk', instance: 'risk-2' }),
  span('3', 102, 110, { parent: '2', name: 'GET', service: 'risk', instance: 'risk-2' }),
  span('4', 111, 120, { parent: '2', name: 'GET', service: 'risk', instance: 'risk-2', outcome: 'failed' }),
  span('5', 141, 143, { parent: '1', name: 'INSERT' }),
  span('6', 150, 180, { parent: '1', name: 'Pay', service: 'fund' }),
])

describe('compareTraces', () => {
  const rows = compareTraces(fast, slow)
  it('puts what has the same place into one row', () => {
    expect(rows.map((row) => [row.depth, row.name, row.left.count, row.right.count])).toEqual([
      [0, 'POST /loans', 1, 1],
      [1, 'Assess', 1, 1],
      [2, 'GET', 1, 2],
      [1, 'INSERT', 1, 1],
      [1, 'Pay', 0, 1],
    ])
  })
  it('says how much more time the right side took', () => {
    expect(rows.map((row) => row.more)).toEqual([70, 35, 16, 0, 30])
    expect(rows[1]!.moreSelf).toBeCloseTo(39 - 17 - 3)
    expect(rows[2]!.right).toEqual({ count: 2, failed: 1, total: 17, self: 17 })
  })
  it('is the other way round when the sides are', () => {
    const back = compareTraces(slow, fast)
    for (const row of rows) expect(back.find(({ key }) => key === row.key)?.more).toBeCloseTo(-row.more)
  })
  it('finds no difference between a trace and itself', () => {
    const same = compareTraces(fast, fast)
    expect(same).toHaveLength(4)
    expect(same.some(differs)).toBe(false)
    expect(explains(same, 5)).toEqual([])
    expect(ranDifferently(fast, fast)).toEqual([])
  })
  it('takes the same name below another caller for another thing', () => {
    const one = buildTrace([span('a', 0, 9), span('b', 1, 8, { parent: 'a' }), span('x', 2, 3, { parent: 'b' })])
    const other = buildTrace([span('a', 0, 9), span('b', 1, 8, { parent: 'a' }), span('x', 2, 3, { parent: 'a' })])
    const found = compareTraces(one, other).filter((row) => row.name === 'x')
    expect(found.map((row) => [row.left.count, row.right.count])).toEqual([
      [1, 0],
      [0, 1],
    ])
  })
  it('takes an empty side', () => {
    expect(compareTraces(buildTrace([]), fast).every((row) => row.left.count === 0)).toBe(true)
    expect(compareTraces(buildTrace([]), buildTrace([]))).toEqual([])
  })
  it('takes a chain of 10,000 spans', () => {
    const chain = buildTrace(
      Array.from({ length: 10_000 }, (_, i) => span(`s${i}`, 0, 400, { name: 'again', parent: i ? `s${i - 1}` : '' })),
    )
    expect(compareTraces(chain, chain)).toHaveLength(10_000)
  })
})

it('names what explains the difference, the most first', () => {
  expect(explains(compareTraces(fast, slow), 3).map((row) => row.name)).toEqual(['Pay', 'Assess', 'GET'])
})

it.each([
  ['the same', { left: [1, 0, 100], right: [1, 0, 100] }, false],
  ['noise', { left: [1, 0, 100], right: [1, 0, 108] }, false],
  ['less than a millisecond', { left: [1, 0, 0.1], right: [1, 0, 1] }, false],
  ['slower', { left: [1, 0, 100], right: [1, 0, 120] }, true],
  ['more often', { left: [1, 0, 100], right: [2, 0, 100] }, true],
  ['failed', { left: [1, 0, 100], right: [1, 1, 100] }, true],
])('%s', (_, sides, expected) => {
  const side = ([count, failed, total]: number[]) => ({ count: count!, failed: failed!, total: total!, self: total! })
  const [left, right] = [side(sides.left), side(sides.right)]
  expect(differs({ left, right, more: right.total - left.total } as Parameters<typeof differs>[0])).toBe(expected)
})

it('says what ran differently', () => {
  expect(ranDifferently(fast, slow)).toEqual([
    { service: 'risk', what: 'instance', left: ['risk-1'], right: ['risk-2'] },
  ])
})

it.each([
  [[], []],
  [[3], [3]],
  [
    [2, 1],
    [1, 2],
  ],
  [
    [9, 8, 7, 6, 5, 4, 3, 2, 1],
    [1, 2, 3, 5, 7, 8, 9],
  ],
])('choices of %j', (all, expected) => expect(choices(all, (n) => n)).toEqual(expected))
