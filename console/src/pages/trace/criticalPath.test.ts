import { describe, expect, it } from 'vitest'
import type { Span } from '@/api/gen/gantry/v1/trace_pb'
import { criticalPath, shares } from './criticalPath'
import { buildTrace } from './model'
import { span } from './testing'

const child = (id: string, from: number, to: number, more = {}) => span(id, from, to, { parent: 'a', ...more })
const remote = (id: string, from: number, to: number, more = {}) => child(id, from, to, { service: 'risk', ...more })

/** Times are from the root's start. */
function path(spans: Span[], correct = false): string {
  const root = buildTrace(spans, correct).root!
  const at = (time: number) => Number((time - root.start).toFixed(3))
  return criticalPath(root)
    .map(({ node, from, to }) => `${node.span.spanId}:${at(from)}-${at(to)}`)
    .join(' ')
}

describe('criticalPath', () => {
  const cases: [string, Span[], string][] = [
    ['a span alone', [span('a', 0, 10)], 'a:0-10'],
    ['a span of no length', [span('a', 0, 0)], ''],
    [
      'gaps are the parent itself',
      [span('a', 0, 10), child('b', 2, 4), child('c', 6, 9)],
      'a:0-2 b:2-4 a:4-6 c:6-9 a:9-10',
    ],
    ['children that touch', [span('a', 0, 10), child('b', 0, 5), child('c', 5, 10)], 'b:0-5 c:5-10'],
    [
      'of two at once the one that ends last',
      [span('a', 0, 10), child('b', 1, 4), child('c', 1, 8)],
      'a:0-1 c:1-8 a:8-10',
    ],
    [
      'what still ran when the last began was not waited for',
      [span('a', 0, 10), child('b', 1, 6), child('c', 3, 9)],
      'a:0-3 c:3-9 a:9-10',
    ],
    [
      'what ended before the last began was',
      [span('a', 0, 10), child('b', 1, 2), child('c', 1, 6), child('d', 3, 9)],
      'a:0-1 b:1-2 a:2-3 d:3-9 a:9-10',
    ],
    [
      'grandchildren',
      [span('a', 0, 10), child('b', 1, 9), span('c', 3, 8, { parent: 'b' })],
      'a:0-1 b:1-3 c:3-8 b:8-9 a:9-10',
    ],
    [
      'a child left running by the same clock',
      [span('a', 0, 10), child('b', 2, 30), child('c', 4, 7)],
      'a:0-4 c:4-7 a:7-10',
    ],
    ['a child that outlives by another clock is cut', [span('a', 0, 10), remote('b', 2, 30)], 'a:0-2 b:2-10'],
    ['what began after the end', [span('a', 0, 10), child('b', 12, 30)], 'a:0-10'],
    ['a consumer', [span('a', 0, 10), remote('b', 2, 8, { kind: 'consumer' })], 'a:0-10'],
    ['a child before its parent, by the same clock', [span('a', 0, 10), child('b', -5, 4)], 'b:0-4 a:4-10'],
    [
      'clocks that differ a little do not hide the one before',
      [span('a', 0, 10), remote('b', 1, 5.2), remote('c', 5, 9)],
      'a:0-1 b:1-5 c:5-9 a:9-10',
    ],
    [
      'the same by one clock is a real overlap',
      [span('a', 0, 10), child('b', 1, 5.2), child('c', 5, 9)],
      'a:0-5 c:5-9 a:9-10',
    ],
    ['children of no length', [span('a', 0, 10), child('b', 5, 5)], 'a:0-5 a:5-10'],
    [
      'a grandchild that outlives its parent does not lengthen it',
      [span('a', 0, 10), child('b', 1, 4), span('c', 2, 9, { parent: 'b', service: 'risk' })],
      'a:0-1 b:1-2 c:2-4 a:4-10',
    ],
  ]
  it.each(cases)('%s', (_, spans, expected) => expect(path(spans)).toBe(expected))

  it('follows clocks that were corrected', () => {
    const spans = [span('a', 0, 20, { kind: 'client', service: 'portal' }), remote('b', -50, -40, { kind: 'server' })]
    expect(path(spans, true)).toBe('a:0-5 b:5-15 a:15-20')
  })

  it('covers the root and never overlaps, whatever the tree', () => {
    let seed = 7
    const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648
    for (let round = 0; round < 200; round++) {
      const spans = [span('s0', 0, 100)]
      for (let i = 1; i < 30; i++) {
        const from = Math.round(random() * 120 - 10)
        spans.push(
          span(`s${i}`, from, from + Math.round(random() * 60), {
            parent: `s${Math.floor(random() * i)}`,
            service: random() < 0.5 ? 'loan' : 'risk',
          }),
        )
      }
      const trace = buildTrace(spans, round % 2 === 0)
      const segments = criticalPath(trace.root!)
      expect(segments.reduce((sum, { from, to }) => sum + to - from, 0)).toBeCloseTo(100, 6)
      segments.forEach(({ from, to }, i) => {
        expect(to).toBeGreaterThan(from)
        if (i > 0) expect(from).toBeCloseTo(segments[i - 1]!.to, 6)
      })
    }
  })

  it('takes a chain of 10,000 spans', () => {
    const chain = Array.from({ length: 10_000 }, (_, i) => span(`s${i}`, 0, 400, { parent: i ? `s${i - 1}` : '' }))
    const root = buildTrace(chain).root!
    criticalPath(root)
    expect(criticalPath(root).at(-1)?.node.span.spanId).toBe('s9999')
  })
})

describe('shares', () => {
  it('adds up by what is asked, the most first', () => {
    const trace = buildTrace([span('a', 0, 10), remote('b', 1, 9)])
    expect(shares(criticalPath(trace.root!), (node) => node.span.service)).toEqual([
      { key: 'risk', time: 8 },
      { key: 'loan', time: 2 },
    ])
  })
})
