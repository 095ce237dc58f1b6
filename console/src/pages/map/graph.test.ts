import { create, fromJson } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { TopologyEdgeSchema, TopologyNodeSchema, TopologyResponseSchema } from '@/api/gen/gantry/v1/topology_pb'
import { largeTopology } from './fixture'
import { around, busyEnough, collapse, defaultLeast, graphOf, lit, many, unwellOf, widthOf, type Sum } from './graph'

const milliseconds = (ms: number) => ({ nanos: ms * 1e6 })
const edge = (
  caller: string,
  callee: string,
  more: { type?: string; protocol?: string; calls?: number; failed?: number; p95?: number } = {},
) =>
  create(TopologyEdgeSchema, {
    caller,
    callee,
    calleeType: more.type ?? 'service',
    protocol: more.protocol ?? 'http',
    figures: {
      calls: BigInt(more.calls ?? 100),
      failed: BigInt(more.failed ?? 0),
      rate: (more.calls ?? 100) / 100,
      p95: milliseconds(more.p95 ?? 10),
    },
  })
const node = (name: string, type = 'service') => create(TopologyNodeSchema, { name, type })
const answer = (nodes: ReturnType<typeof node>[], edges: ReturnType<typeof edge>[]) =>
  create(TopologyResponseSchema, { nodes, edges })
const names = (list: { name: string }[]) => list.map((each) => each.name)

test('one edge a pair, with its protocols as parts; the order is that of names', () => {
  const graph = graphOf(
    answer(
      [node('b'), node('a'), node('b', 'database')],
      [
        edge('a', 'b', { protocol: 'grpc', p95: 30 }),
        edge('a', 'b', { protocol: 'http', p95: 20 }),
        edge('a', 'b', { type: 'database' }),
      ],
    ),
  )
  expect(graph.nodes.map((each) => each.id)).toEqual(['database/b', 'service/a', 'service/b'])
  expect(graph.edges.map((each) => each.id)).toEqual(['service/a→database/b', 'service/a→service/b'])
  const joined = graph.edges[1]!
  expect(joined.parts.map((part) => part.protocol)).toEqual(['grpc', 'http'])
  expect(joined.sum).toMatchObject({ calls: 200, rate: 2, p95: 0.03, several: true })
})

test('a caller and a callee that are no nodes become some', () => {
  const graph = graphOf(answer([], [edge('user', 'portal'), edge('portal', 'redis/cache', { type: 'cache' })]))
  expect(graph.nodes.map((each) => each.id)).toEqual(['cache/redis/cache', 'service/portal', 'user/user'])
})

test('failing is more than 1%, slow twice the usual of enough calls', () => {
  const sum = (more: Partial<Sum>): Sum => ({
    calls: 100,
    refused: 0,
    failed: 0,
    rate: 1,
    p95: 0.1,
    several: false,
    ...more,
  })
  expect(unwellOf(sum({ failed: 1 }))).toBeUndefined()
  expect(unwellOf(sum({ failed: 2 }))).toBe('failing')
  expect(unwellOf(sum({ refused: 90 }))).toBeUndefined()
  expect(unwellOf(sum({ p95: 0.25 }), sum({}))).toBe('slow')
  expect(unwellOf(sum({ p95: 0.19 }), sum({}))).toBeUndefined()
  expect(unwellOf(sum({ p95: 0.25, calls: 5 }), sum({}))).toBeUndefined()
  expect(unwellOf(sum({ p95: 0.009 }), sum({ p95: 0.002 }))).toBeUndefined()
  expect(unwellOf(sum({ p95: 5 }), undefined)).toBeUndefined()
})

test('what is slower than in the hour before is known by the same pair', () => {
  const graph = graphOf(
    answer([], [edge('a', 'b', { p95: 500 })]),
    answer([], [edge('a', 'b', { p95: 100 }), edge('x', 'b', { p95: 1 })]),
  )
  expect(graph.edges[0]).toMatchObject({ unwell: 'slow', usual: { p95: 0.1 } })
})

const chain = graphOf(answer([], [edge('a', 'b'), edge('b', 'c'), edge('c', 'd'), edge('x', 'b'), edge('d', 'd')]))

test('a focus goes so many hops in both directions', () => {
  expect(names(around(chain, 'service/b', 1).nodes)).toEqual(['a', 'b', 'c', 'x'])
  expect(names(around(chain, 'service/a', 2).nodes)).toEqual(['a', 'b', 'c', 'x'])
  expect(around(chain, 'service/a', 1).edges.map((each) => each.id)).toEqual(['service/a→service/b'])
  expect(around(chain, 'service/nobody', 2).nodes).toEqual([])
})

test('groups by name and by kind; one that stands alone stays, and calls within are not drawn', () => {
  const graph = graphOf(
    answer(
      [],
      [
        edge('loan-api', 'loan-core'),
        edge('loan-core', 'risk'),
        edge('risk', 'mysql/a', { type: 'database', failed: 9 }),
        edge('loan-core', 'mysql/b', { type: 'database' }),
      ],
    ),
  )
  const byName = collapse(graph, 'name')
  expect(byName.nodes.map((each) => each.id)).toEqual([
    'database/mysql/a',
    'database/mysql/b',
    'group/loan',
    'service/risk',
  ])
  expect(byName.edges.map((each) => each.id)).toEqual([
    'group/loan→database/mysql/b',
    'group/loan→service/risk',
    'service/risk→database/mysql/a',
  ])
  const byKind = collapse(graph, 'kind')
  expect(byKind.nodes.find((each) => each.type === 'group')).toMatchObject({
    name: 'database',
    members: ['mysql/a', 'mysql/b'],
  })
  expect(byKind.edges.find((each) => each.source === 'service/risk')?.unwell).toBe('failing')
})

test('a group that is open stays apart, and both ways of collapsing go together', () => {
  const graph = graphOf(
    answer(
      [node('user', 'user'), ...['loan-api', 'loan-core', 'risk-api', 'risk-core'].map((name) => node(name))],
      [
        edge('user', 'loan-api'),
        edge('loan-api', 'risk-api'),
        edge('loan-core', 'risk-core'),
        edge('loan-core', 'a', { type: 'database' }),
        edge('risk-core', 'b', { type: 'database' }),
      ],
    ),
  )
  const ids = (list: { id: string }[]) => list.map(({ id }) => id)
  const both = collapse(graph, 'both')
  expect(ids(both.nodes)).toEqual(['group/database', 'group/loan', 'group/risk', 'user/user'])
  expect(both.edges.find((each) => each.id === 'group/loan→group/risk')?.sum.calls).toBe(200)
  const open = collapse(graph, 'both', ['risk'])
  expect(ids(open.nodes)).toEqual([
    'group/database',
    'group/loan',
    'service/risk-api',
    'service/risk-core',
    'user/user',
  ])
  expect(collapse(graph, 'none')).toBe(graph)
})

test('what is looked for stays bright', () => {
  const graph = graphOf(answer([], [edge('a', 'b', { failed: 50 }), edge('b', 'c'), edge('c', 'd', { failed: 50 })]))
  expect(lit(graph, { search: ' ', unwell: false })).toBeUndefined()
  const unwell = lit(graph, { search: '', unwell: true })!
  expect([...unwell.edges]).toEqual(['service/a→service/b', 'service/c→service/d'])
  const found = lit(graph, { search: 'D', unwell: true })!
  expect([...found.edges]).toEqual(['service/c→service/d'])
  expect([...found.nodes]).toEqual(['service/d'])
})

test('of a thousand edges those that carry most are drawn, and all that are unwell', () => {
  const graph = graphOf(fromJson(TopologyResponseSchema, largeTopology(300, 1000)))
  expect(graph.nodes).toHaveLength(300)
  expect(graph.edges).toHaveLength(1000)
  const least = defaultLeast(graph.edges, 300)
  const drawn = graph.edges.filter((each) => busyEnough(each, least))
  expect(drawn.length).toBeLessThan(many)
  expect(drawn.length).toBeGreaterThan(100)
  const unwell = graph.edges.filter((each) => each.unwell)
  expect(unwell.length).toBeGreaterThan(0)
  expect(unwell.every((each) => drawn.includes(each))).toBe(true)
  expect(defaultLeast(graph.edges.slice(0, many), 300)).toBe(0)
  // Few nodes that nearly all call each other are a tangle sooner.
  const tangle = graph.edges.slice(0, 185)
  const shown = tangle.filter((each) => busyEnough(each, defaultLeast(tangle, 17)))
  expect(shown.length).toBeGreaterThan(20)
  expect(shown.length).toBeLessThan(100)
  expect(defaultLeast(graph.edges.slice(0, 60), 5)).toBe(0)
})

test('width grows with the rate and has bounds', () => {
  const widths = [0, 0.1, 1, 10, 100, 1e6].map(widthOf)
  expect(widths).toEqual([...widths].sort((a, b) => a - b))
  expect(widths.at(-1)).toBe(7)
})
