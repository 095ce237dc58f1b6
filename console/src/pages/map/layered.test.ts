import { fromJson } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { TopologyResponseSchema } from '@/api/gen/gantry/v1/topology_pb'
import { place } from './dagreLayout'
import { largeTopology } from './fixture'
import { graphOf } from './graph'
import { layered, layersOf, nearLayersOf, nodeHeight, nodeWidth, placeNew, type Point, type Shape } from './layered'

const shape = (...pairs: string[]): Shape => ({
  nodes: [...new Set(pairs.flatMap((pair) => pair.split('>')))],
  edges: pairs.map((pair) => ({ id: pair, source: pair.split('>')[0]!, target: pair.split('>')[1]! })),
})
const overlaps = (points: Point[]) =>
  points.some((a, i) =>
    points.slice(i + 1).some((b) => Math.abs(a.x - b.x) < nodeWidth && Math.abs(a.y - b.y) < nodeHeight),
  )

test('callees lie right of their callers; a circle is broken where it is entered', () => {
  const layers = layersOf(shape('a>b', 'b>c', 'a>c', 'c>b', 'c>c'))
  expect(Object.fromEntries(layers)).toEqual({ a: 0, b: 1, c: 2 })
  expect(Object.fromEntries(layersOf(shape('x>y', 'y>x')))).toEqual({ x: 0, y: 1 })
})

const graph = graphOf(fromJson(TopologyResponseSchema, largeTopology(300, 1000)))
const large: Shape = { nodes: graph.nodes.map((node) => node.id), edges: graph.edges }

test('300 nodes have places of their own, in about the shape of a screen, the same every time', () => {
  const { nodes } = layered(large)
  const points = Object.values(nodes)
  expect(points).toHaveLength(300)
  expect(overlaps(points)).toBe(false)
  const width = Math.max(...points.map((point) => point.x)) + nodeWidth
  const height = Math.max(...points.map((point) => point.y)) + nodeHeight
  expect(width / height).toBeGreaterThan(1.2)
  expect(width / height).toBeLessThan(2.4)
  expect(layered(large).nodes).toEqual(nodes)
  expect(place(large).nodes).toEqual(nodes)
})

test('a small graph is placed by dagre, with routes', () => {
  const small = shape('a>b', 'b>c', 'a>c')
  const placed = place(small)
  expect(placed.nodes['a']!.x).toBeLessThan(placed.nodes['b']!.x)
  expect(placed.routes['a>c']!.length).toBeGreaterThan(2)
  expect(place(small)).toEqual(placed)
})

test('a new node finds a free place; the others keep theirs', () => {
  const before = layered(shape('a>b', 'a>c')).nodes
  const after = placeNew(shape('a>b', 'a>c', 'a>d', 'e>a', 'f>g'), before)
  expect(after).toMatchObject(before)
  expect(Object.keys(after)).toHaveLength(7)
  expect(after['d']!.x).toBeGreaterThan(after['a']!.x)
  expect(after['e']!.x).toBeLessThan(after['a']!.x)
  expect(overlaps(Object.values(after))).toBe(false)
})

test('of what nearly all calls each other the nearest caller counts, and stores are last', () => {
  const groups = ['a', 'b', 'c', 'd', 'e', 'f']
  const pairs = [
    'user>a',
    'user>b',
    ...groups.flatMap((x) => [...groups.filter((y) => x < y), 'store'].map((y) => `${x}>${y}`)),
  ]
  const tangle = shape(...pairs, ...groups.flatMap((x) => groups.filter((y) => x > y).map((y) => `${x}>${y}`)))
  expect(tangle.edges.length).toBeGreaterThan(tangle.nodes.length * 4)
  expect(Object.fromEntries(nearLayersOf(tangle))).toEqual({ user: 0, a: 1, b: 1, c: 2, d: 2, e: 2, f: 2, store: 3 })
  const { nodes, routes } = place(tangle)
  expect(new Set(Object.values(nodes).map(({ x }) => x)).size).toBeLessThanOrEqual(6)
  expect(overlaps(Object.values(nodes))).toBe(false)
  expect(routes).toEqual({})
  // Circles that nobody enters have a place too.
  expect([...nearLayersOf(shape('x>y', 'y>x')).keys()].sort()).toEqual(['x', 'y'])
})
