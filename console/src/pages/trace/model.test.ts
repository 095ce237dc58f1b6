import { describe, expect, it } from 'vitest'
import { buildTrace } from './model'
import { ids, span } from './testing'

describe('buildTrace', () => {
  it('puts children below their parents, by their start', () => {
    const trace = buildTrace([span('c', 5, 6, { parent: 'a' }), span('b', 1, 4, { parent: 'a' }), span('a', 0, 10)])
    expect(ids(trace.nodes)).toEqual(['a', 'b', 'c'])
    expect(trace.nodes.map((node) => node.depth)).toEqual([0, 1, 1])
    expect(trace.duration).toBe(10)
    expect(trace.epoch).toBe(1_700_000_000_000)
  })

  it('is empty when there is nothing', () => {
    expect(buildTrace([])).toMatchObject({ nodes: [], root: undefined, duration: 0, epoch: 0 })
  })

  it('keeps spans whose parent has not come, and says so', () => {
    const trace = buildTrace([span('b', 1, 4, { parent: 'gone' }), span('c', 2, 3, { parent: 'b' })])
    expect(ids(trace.nodes)).toEqual(['b', 'c'])
    expect(trace.nodes.map((node) => node.orphan)).toEqual([true, false])
    expect(trace.root?.span.spanId).toBe('b')
  })

  it('prefers a proper root to an orphan that began earlier', () => {
    const trace = buildTrace([span('orphan', 0, 50, { parent: 'gone' }), span('root', 1, 20)])
    expect(trace.root?.span.spanId).toBe('root')
  })

  it('loses no span of a cycle', () => {
    const trace = buildTrace([
      span('a', 0, 9, { parent: 'b' }),
      span('b', 1, 4, { parent: 'a' }),
      span('c', 2, 3, { parent: 'c' }),
    ])
    expect(ids(trace.nodes).sort()).toEqual(['a', 'b', 'c'])
  })

  it('puts the two sides of a call with one id below each other', () => {
    const trace = buildTrace([
      span('x', 0, 10, { kind: 'client', service: 'portal' }),
      span('x', 1, 9, { kind: 'server', service: 'loan' }),
      span('y', 2, 8, { parent: 'x', kind: 'client', service: 'loan' }),
    ])
    expect(trace.nodes.map((node) => [node.span.service, node.depth])).toEqual([
      ['portal', 0],
      ['loan', 1],
      ['loan', 2],
    ])
  })

  it('tells above that something failed below', () => {
    const trace = buildTrace([
      span('a', 0, 9),
      span('b', 1, 4, { parent: 'a' }),
      span('c', 2, 3, { parent: 'b', outcome: 'failed' }),
      span('d', 5, 6, { parent: 'a' }),
    ])
    expect(trace.nodes.map((node) => node.failedBelow)).toEqual([true, true, true, false])
  })

  it('takes a chain of 20,000 spans', () => {
    const chain = Array.from({ length: 20_000 }, (_, i) =>
      span(`s${i}`, i / 100, 400, { parent: i ? `s${i - 1}` : '' }),
    )
    expect(buildTrace(chain).nodes.at(-1)?.depth).toBe(19_999)
  })

  describe('self time', () => {
    it.each([
      ['no children', [] as [number, number][], 10],
      ['one child', [[2, 5]], 7],
      [
        'children that overlap count once',
        [
          [2, 6],
          [4, 8],
        ],
        4,
      ],
      [
        'a child within another',
        [
          [2, 8],
          [3, 4],
        ],
        4,
      ],
      ['a child that outlives it', [[6, 30]], 6],
      ['a child after it', [[12, 30]], 10],
      ['a child before it, by the same clock', [[-5, 3]], 7],
    ] as [string, [number, number][], number][])('%s', (_, children, self) => {
      const trace = buildTrace([
        span('a', 0, 10),
        ...children.map(([from, to], i) => span(`c${i}`, from, to, { parent: 'a' })),
      ])
      expect(trace.nodes.find((node) => node.span.spanId === 'a')?.self).toBeCloseTo(self)
    })
  })

  describe('clocks', () => {
    const client = span('a', 100, 120, { kind: 'client', service: 'portal' })
    const starts = (spans: Parameters<typeof buildTrace>[0], correct = true) =>
      Object.fromEntries(buildTrace(spans, correct).nodes.map((node) => [node.span.spanId, node.start]))

    it('puts a server that seems to begin before its call into the middle', () => {
      const spans = [client, span('b', 50, 60, { parent: 'a', kind: 'server' }), span('c', 52, 54, { parent: 'b' })]
      expect(starts(spans)).toEqual({ a: 0, b: 5, c: 7 })
      expect(buildTrace(spans).shifted).toBe(true)
    })
    it('puts one that is longer than its call to the beginning', () => {
      expect(starts([client, span('b', 50, 90, { parent: 'a', kind: 'server' })])).toEqual({ a: 0, b: 0 })
    })
    it('moves nothing that can be true', () => {
      const spans = [client, span('b', 110, 140, { parent: 'a', kind: 'server' })]
      expect(starts(spans)).toEqual({ a: 0, b: 10 })
      expect(buildTrace(spans).shifted).toBe(false)
    })
    it('moves nothing when it is told not to', () => {
      expect(starts([client, span('b', 50, 60, { parent: 'a', kind: 'server' })], false)).toEqual({ a: 50, b: 0 })
    })
    it('gives a third clock back its own time', () => {
      const spans = [
        client,
        span('b', 50, 60, { parent: 'a', kind: 'server' }),
        span('c', 52, 58, { parent: 'b', kind: 'client' }),
        span('d', 109, 111, { parent: 'c', kind: 'server', service: 'risk' }),
      ]
      expect(starts(spans)).toEqual({ a: 0, b: 5, c: 7, d: 9 })
    })
  })
})
