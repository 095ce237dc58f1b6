import { describe, expect, it } from 'vitest'
import type { MapGraph } from './graph'
import { nextNode } from './walk'

const places = {
  nodes: { a: { x: 0, y: 0 }, b: { x: 300, y: -100 }, c: { x: 300, y: 60 }, d: { x: 600, y: 0 }, e: { x: 0, y: 200 } },
  routes: {},
}
const graph = { nodes: ['a', 'b', 'c', 'd', 'e', 'placeless'].map((id) => ({ id })), edges: [] } as unknown as MapGraph
const from = (id: string, key: string) => nextNode(key, id, graph, places)

describe('arrow keys', () => {
  it('lead to the nearest node in their direction', () => {
    expect(from('a', 'ArrowRight')).toBe('c')
    expect(from('c', 'ArrowUp')).toBe('b')
    expect(from('c', 'ArrowLeft')).toBe('a')
    expect(from('a', 'ArrowDown')).toBe('e')
  })
  it('lead nowhere from the border, and other keys never', () => {
    expect(from('d', 'ArrowRight')).toBeUndefined()
    expect(from('a', 'Enter')).toBeUndefined()
    expect(from('placeless', 'ArrowUp')).toBeUndefined()
  })
  it('reach every node from every other by some keys', () => {
    for (const start of Object.keys(places.nodes)) {
      const reached = new Set([start])
      const border = [start]
      while (border.length > 0) {
        const here = border.pop()!
        for (const key of ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']) {
          const next = from(here, key)
          if (next && !reached.has(next)) {
            reached.add(next)
            border.push(next)
          }
        }
      }
      expect([...reached].sort()).toEqual(Object.keys(places.nodes).sort())
    }
  })
})
