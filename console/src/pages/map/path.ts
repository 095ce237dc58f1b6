import type { Point } from './layered'

export interface Ends {
  sourceX: number
  sourceY: number
  targetX: number
  targetY: number
}

/** A cubic curve: where it begins, its two handles, where it ends. */
export type Curve = readonly [Point, Point, Point, Point]

/** A line: curves that follow each other, and the point in its middle where a label goes first. */
export interface Drawn {
  curves: Curve[]
  label: Point
}

const bent = (a: Point, b: Point, bend: number): Curve => [a, { x: a.x + bend, y: a.y }, { x: b.x - bend, y: b.y }, b]

/** A curve from the right side of one node to the left side of another, through the points of its route where it has one. */
export function drawn(
  { sourceX, sourceY, targetX, targetY }: Ends,
  route: readonly Point[] | undefined,
  self: boolean,
): Drawn {
  const from = { x: sourceX, y: sourceY }
  const to = { x: targetX, y: targetY }
  if (self) {
    // Back over the node's own head.
    const top = sourceY - 56
    return {
      curves: [[from, { x: sourceX + 40, y: top }, { x: targetX - 40, y: top }, to]],
      label: { x: (sourceX + targetX) / 2, y: sourceY - 42 },
    }
  }
  if (route && route.length > 1) {
    const middle = route.slice(1, -1)
    const label = route[Math.floor(route.length / 2)]!
    // Forwards it begins and ends where the others do; backwards where the layout says, or it would cross its own nodes.
    const through = targetX > sourceX ? [from, ...middle, to] : [...route]
    const curves: Curve[] = []
    for (let i = 1; i < through.length; i++)
      curves.push(bent(through[i - 1]!, through[i]!, (through[i]!.x - through[i - 1]!.x) / 2))
    return { curves, label }
  }
  const ahead = targetX - sourceX
  // Backwards the curve must leave to the right all the same.
  const bend = ahead > 0 ? Math.max(24, ahead / 2) : 48 + Math.min(120, -ahead / 4)
  return { curves: [bent(from, to, bend)], label: { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 } }
}

/** The point of a curve at t, from 0 to 1. */
export function at([a, b, c, d]: Curve, t: number): Point {
  const s = 1 - t
  const [wa, wb, wc, wd] = [s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t]
  return { x: wa * a.x + wb * b.x + wc * c.x + wd * d.x, y: wa * a.y + wb * b.y + wc * c.y + wd * d.y }
}

const steps = 12

/** Straight pieces that come near enough to curves, for finding what is pointed at. */
export function flatten(curves: readonly Curve[]): Point[] {
  const points = curves.length > 0 ? [curves[0]![0]] : []
  for (const curve of curves) for (let i = 1; i <= steps; i++) points.push(at(curve, i / steps))
  return points
}
