import { describe, expect, it } from 'vitest'
import { graphOf, type MapEdge } from './graph'
import { create } from '@bufbuild/protobuf'
import { TopologyResponseSchema } from '@/api/gen/gantry/v1/topology_pb'
import { nodeHeight, nodeWidth, type Places } from './layered'
import { lineAt, linesOf, placeLabel, Taken } from './lines'
import { at, drawn, flatten } from './path'

const graph = graphOf(
  create(TopologyResponseSchema, {
    nodes: ['a', 'b', 'c'].map((name) => ({ name, type: 'service' })),
    edges: [
      { caller: 'a', callee: 'b', calleeType: 'service', figures: { calls: 10n, rate: 1 } },
      { caller: 'a', callee: 'c', calleeType: 'service', figures: { calls: 10n, rate: 1, failed: 5n } },
      { caller: 'b', callee: 'b', calleeType: 'service', figures: { calls: 10n, rate: 1 } },
    ],
  }),
)
const places: Places = {
  nodes: { 'service/a': { x: 0, y: 0 }, 'service/b': { x: 400, y: 0 }, 'service/c': { x: 400, y: 200 } },
  routes: {},
}
const lines = linesOf(graph.edges, places)
const edge = (id: string) => graph.edges.find((each) => each.id === id) as MapEdge
const middle = nodeHeight / 2

describe('lines', () => {
  it('lead from the right side of the caller to the left side of the callee', () => {
    const { points, box } = lines.find((line) => line.edge === edge('service/a→service/c'))!
    expect(points[0]).toEqual({ x: nodeWidth, y: middle })
    expect(points.at(-1)).toEqual({ x: 400, y: 200 + middle })
    expect(box).toEqual({ left: nodeWidth, top: middle, right: 400, bottom: 200 + middle })
  })
  it('go through the points of their route', () => {
    const route = [
      { x: 184, y: 24 },
      { x: 300, y: 500 },
      { x: 400, y: 24 },
    ]
    const [line] = linesOf([edge('service/a→service/b')], { ...places, routes: { 'service/a→service/b': route } })
    expect(line!.points).toContainEqual({ x: 300, y: 500 })
  })
  it('are left out where an end has no place', () => {
    expect(linesOf(graph.edges, { nodes: { 'service/a': { x: 0, y: 0 } }, routes: {} })).toEqual([])
  })
  it('stay near their curves', () => {
    const { curves } = drawn({ sourceX: 0, sourceY: 0, targetX: 300, targetY: 200 }, undefined, false)
    const points = flatten(curves)
    for (let t = 0; t <= 1; t += 0.01) {
      const p = at(curves[0]!, t)
      const near = Math.min(
        ...points.slice(1).map((b, i) => {
          const a = points[i]!
          const u = ((p.x - a.x) * (b.x - a.x) + (p.y - a.y) * (b.y - a.y)) / ((b.x - a.x) ** 2 + (b.y - a.y) ** 2)
          const v = Math.max(0, Math.min(1, u))
          return Math.hypot(a.x + v * (b.x - a.x) - p.x, a.y + v * (b.y - a.y) - p.y)
        }),
      )
      expect(near).toBeLessThan(2)
    }
  })
})

describe('what is pointed at', () => {
  it('is the nearest line within reach', () => {
    expect(lineAt(lines, { x: 292, y: middle + 3 }, 7)?.edge.id).toBe('service/a→service/b')
    expect(lineAt(lines, { x: 396, y: 200 + middle }, 7)?.edge.id).toBe('service/a→service/c')
  })
  it('is nothing farther away', () => {
    expect(lineAt(lines, { x: 292, y: middle + 30 }, 7)).toBeUndefined()
    expect(lineAt(lines, { x: 900, y: 900 }, 7)).toBeUndefined()
  })
  it('is the unwell one where two lie upon each other', () => {
    // Both begin at the right side of a.
    expect(lineAt(lines, { x: nodeWidth, y: middle }, 7)?.edge.id).toBe('service/a→service/c')
    expect(lineAt([...lines].reverse(), { x: nodeWidth, y: middle }, 7)?.edge.id).toBe('service/a→service/c')
  })
  it('is a call to itself, over its head', () => {
    expect(lineAt(lines, { x: 400 + nodeWidth / 2, y: middle - 42 }, 7)?.edge.id).toBe('service/b→service/b')
  })
})

describe('labels', () => {
  const line = lines.find((each) => each.edge === edge('service/a→service/b'))!
  const same = (p: { x: number; y: number }) => p
  it('lie in the middle while it is free, then aside, then nowhere', () => {
    const taken = new Taken(50)
    expect(placeLabel(line, 40, 16, taken, same)).toEqual({ x: 292, y: middle })
    const second = placeLabel(line, 40, 16, taken, same)!
    expect(Math.abs(second.x - 292)).toBeGreaterThanOrEqual(40)
    for (let i = 0; i < 5; i++) placeLabel(line, 40, 16, taken, same)
    expect(placeLabel(line, 40, 16, taken, same)).toBeUndefined()
  })
  it('never lie on what is taken, across the borders of cells', () => {
    const taken = new Taken(32)
    taken.add({ left: 0, top: 0, right: 500, bottom: 100 })
    expect(placeLabel(line, 40, 16, taken, same)).toBeUndefined()
    expect(taken.free({ left: 500, top: 0, right: 600, bottom: 50 })).toBe(true)
  })
})
