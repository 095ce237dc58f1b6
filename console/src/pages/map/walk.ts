import type { MapGraph } from './graph'
import type { Places } from './layered'

const directions: Record<string, { x: number; y: number }> = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
}

/** The node that an arrow key leads to: the nearest in that direction, what lies aside counting double. */
export function nextNode(key: string, from: string, graph: MapGraph, places: Places): string | undefined {
  const direction = directions[key]
  const here = places.nodes[from]
  if (!direction || !here) return undefined
  let best: string | undefined
  let least = Infinity
  for (const { id } of graph.nodes) {
    const there = places.nodes[id]
    if (!there || id === from) continue
    const along = (there.x - here.x) * direction.x + (there.y - here.y) * direction.y
    const aside = Math.abs((there.x - here.x) * direction.y) + Math.abs((there.y - here.y) * direction.x)
    if (along <= 0) continue
    const distance = along + 2 * aside
    if (distance < least) {
      least = distance
      best = id
    }
  }
  return best
}
