import { fromJson } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { TopologyResponseSchema } from '@/api/gen/gantry/v1/topology_pb'
import { place } from './dagreLayout'
import { largeTopology } from './fixture'
import { graphOf } from './graph'
import { layered, layersOf, nodeHeight, nodeWidth, placeNew, type Point, type Shape } from './layered'
import { nextNode } from './walk'

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

test('arrow keys walk to the nearest node in their direction', () => {
  const walked = graphOf({ nodes: [], edges: [] })
  walked.nodes = ['a', 'b', 'c'].map((id) => ({
    id,
    name: id,
    type: 'service',
    sum: { calls: 0, refused: 0, failed: 0, rate: 0, several: false },
    members: [],
  }))
  const places = { nodes: { a: { x: 0, y: 0 }, b: { x: 300, y: 0 }, c: { x: 0, y: 100 } }, routes: {} }
  expect(nextNode('ArrowRight', 'a', walked, places)).toBe('b')
  expect(nextNode('ArrowDown', 'a', walked, places)).toBe('c')
  expect(nextNode('ArrowUp', 'a', walked, places)).toBeUndefined()
  expect(nextNode('x', 'a', walked, places)).toBeUndefined()
})
