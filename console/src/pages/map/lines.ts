import type { MapEdge } from './graph'
import { nodeHeight, nodeWidth, type Places, type Point } from './layered'
import { drawn, flatten, type Curve } from './path'

// The edges as lines on a plane: what a canvas draws, and which of them a pointer means. Nothing here draws.

export interface Box {
  left: number
  top: number
  right: number
  bottom: number
}

export interface Line {
  edge: MapEdge
  curves: Curve[]
  label: Point
  /** The curves as straight pieces. */
  points: Point[]
  box: Box
}

export const overlap = (a: Box, b: Box) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom

function boxOf(points: readonly Point[]): Box {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity }
  for (const { x, y } of points) {
    box.left = Math.min(box.left, x)
    box.right = Math.max(box.right, x)
    box.top = Math.min(box.top, y)
    box.bottom = Math.max(box.bottom, y)
  }
  return box
}

/** All that the nodes take. */
export const boundsOf = (places: Places): Box =>
  boxOf(
    Object.values(places.nodes).flatMap(({ x, y }) => [
      { x, y },
      { x: x + nodeWidth, y: y + nodeHeight },
    ]),
  )

export function linesOf(edges: readonly MapEdge[], places: Places): Line[] {
  return edges.flatMap((edge) => {
    const source = places.nodes[edge.source]
    const target = places.nodes[edge.target]
    if (!source || !target) return []
    const ends = {
      sourceX: source.x + nodeWidth,
      sourceY: source.y + nodeHeight / 2,
      targetX: target.x,
      targetY: target.y + nodeHeight / 2,
    }
    const { curves, label } = drawn(ends, places.routes[edge.id], edge.source === edge.target)
    const points = flatten(curves)
    return [{ edge, curves, label, points, box: boxOf(points) }]
  })
}

/** How far a point is from a piece between two others, squared. */
function apart(p: Point, a: Point, b: Point): number {
  const [dx, dy] = [b.x - a.x, b.y - a.y]
  const length = dx * dx + dy * dy
  const t = length === 0 ? 0 : Math.max(0, Math.min(1, ((p.x - a.x) * dx + (p.y - a.y) * dy) / length))
  const [x, y] = [a.x + t * dx - p.x, a.y + t * dy - p.y]
  return x * x + y * y
}

/** The line that a point means: the nearest within reach, of those that lie upon each other what is unwell. */
export function lineAt(lines: readonly Line[], point: Point, reach: number): Line | undefined {
  let best: Line | undefined
  let least = reach * reach
  for (const line of lines) {
    const { box } = line
    if (
      point.x < box.left - reach ||
      point.x > box.right + reach ||
      point.y < box.top - reach ||
      point.y > box.bottom + reach
    )
      continue
    let near = Infinity
    for (let i = 1; i < line.points.length; i++)
      near = Math.min(near, apart(point, line.points[i - 1]!, line.points[i]!))
    if (near < least || (best && near === least && line.edge.unwell && !best.edge.unwell)) {
      best = line
      least = near
    }
  }
  return best
}

/** Boxes in a grid, so that asking whether a place is free does not ask all of them. */
export class Taken {
  private readonly cells = new Map<string, Box[]>()
  constructor(private readonly size = 128) {}

  private *keys(box: Box) {
    for (let x = Math.floor(box.left / this.size); x <= Math.floor(box.right / this.size); x++)
      for (let y = Math.floor(box.top / this.size); y <= Math.floor(box.bottom / this.size); y++) yield `${x} ${y}`
  }

  add(box: Box) {
    for (const key of this.keys(box)) {
      const cell = this.cells.get(key)
      if (cell) cell.push(box)
      else this.cells.set(key, [box])
    }
  }

  free(box: Box): boolean {
    for (const key of this.keys(box)) if (this.cells.get(key)?.some((other) => overlap(box, other))) return false
    return true
  }
}

/** Where along a line a label is tried: its middle first. */
const tries = [0.5, 0.36, 0.64, 0.24, 0.76, 0.14, 0.86]

/** The middle of a label's place on a line, where nothing else is; it is taken then. Undefined when there is none. */
export function placeLabel(
  line: Pick<Line, 'label' | 'points'>,
  width: number,
  height: number,
  taken: Taken,
  onScreen: (point: Point) => Point,
): Point | undefined {
  for (let i = -1; i < tries.length; i++) {
    const place = i < 0 ? line.label : line.points[Math.round(tries[i]! * (line.points.length - 1))]!
    const { x, y } = onScreen(place)
    const box = { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 }
    if (!taken.free(box)) continue
    taken.add(box)
    return { x, y }
  }
  return undefined
}
