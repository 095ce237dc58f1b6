import { describe, expect, it } from 'vitest'
import { create } from '@bufbuild/protobuf'
import { SpanAttributeSchema } from '@/api/gen/gantry/v1/trace_pb'
import { buildTrace } from './model'
import { ancestors, search, textOf, visibleRows } from './rows'
import { ids, span } from './testing'

const deep = span('c', 2, 3, { parent: 'b', service: 'risk', name: 'Assess', outcome: 'failed' })
deep.attributes.push(create(SpanAttributeSchema, { key: 'order.no', value: { case: 'text', value: 'L-17' } }))
const trace = buildTrace([span('a', 0, 9), span('b', 1, 4, { parent: 'a' }), deep, span('d', 5, 6, { parent: 'a' })])

describe('visibleRows', () => {
  it.each([
    ['all', [], undefined, ['a', 'b', 'c', 'd']],
    ['below a collapsed one nothing', ['b'], undefined, ['a', 'b', 'd']],
    ['a collapsed root', ['a', 'b'], undefined, ['a']],
    ['a leaf cannot be collapsed', ['d'], undefined, ['a', 'b', 'c', 'd']],
    ['what was chosen and the way there', [], ['c'], ['a', 'b', 'c']],
  ] as [string, string[], string[] | undefined, string[]][])('%s', (_, collapsed, chosen, expected) => {
    const nodes = chosen && new Set(trace.nodes.filter((node) => chosen.includes(node.span.spanId)))
    expect(ids(visibleRows(trace, new Set(collapsed), nodes))).toEqual(expected)
  })
})

describe('search', () => {
  it.each([
    ['', []],
    ['assess', ['c']],
    ['RISK failed', ['c']],
    ['risk success', []],
    ['order.no=l-17', ['c']],
    ['loan', ['a', 'b', 'd']],
  ])('%s', (typed, expected) => expect(ids(search(trace, typed))).toEqual(expected))
})

it('knows what is above', () => expect(ancestors(trace.nodes[2]!)).toEqual(['b', 'a']))

it.each([
  [{ case: 'text' as const, value: 'x' }, 'x'],
  [{ case: 'boolean' as const, value: false }, 'false'],
  [{ case: 'integer' as const, value: 9007199254740993n }, '9007199254740993'],
  [{ case: 'number' as const, value: 0.5 }, '0.5'],
  [{ case: 'binary' as const, value: new Uint8Array([0, 255]) }, '00ff'],
  [{ case: undefined }, ''],
])('value %o', (value, expected) => expect(textOf(create(SpanAttributeSchema, { key: 'k', value }))).toBe(expected))
