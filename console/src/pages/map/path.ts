import type { Point } from './layered'

export interface Ends {
  sourceX: number
  sourceY: number
  targetX: number
  targetY: number
}

/** A line and where its label goes. */
export interface Drawn {
  path: string
  label: Point
}

const curve = (a: Point, b: Point, bend: number) => `C${a.x + bend} ${a.y} ${b.x - bend} ${b.y} ${b.x} ${b.y}`

/** A curve from the right side of one node to the left side of another, through the points of its route where it has one. */
export function drawn(
  { sourceX, sourceY, targetX, targetY }: Ends,
  route: readonly Point[] | undefined,
  self: boolean,
): Drawn {
  if (self) {
    // Back over the node's own head.
    const top = sourceY - 56
    return {
      path: `M${sourceX} ${sourceY}C${sourceX + 40} ${top} ${targetX - 40} ${top} ${targetX} ${targetY}`,
      label: { x: (sourceX + targetX) / 2, y: sourceY - 42 },
    }
  }
  if (route && route.length > 1) {
    const middle = route.slice(1, -1)
    const label = route[Math.floor(route.length / 2)]!
    // Forwards it begins and ends where the others do; backwards where the layout says, or it would cross its own nodes.
    const through = targetX > sourceX ? [{ x: sourceX, y: sourceY }, ...middle, { x: targetX, y: targetY }] : [...route]
    let path = `M${through[0]!.x} ${through[0]!.y}`
    for (let i = 1; i < through.length; i++)
      path += curve(through[i - 1]!, through[i]!, (through[i]!.x - through[i - 1]!.x) / 2)
    return { path, label }
  }
  const from = { x: sourceX, y: sourceY }
  const to = { x: targetX, y: targetY }
  const ahead = targetX - sourceX
  // Backwards the curve must leave to the right all the same.
  const bend = ahead > 0 ? Math.max(24, ahead / 2) : 48 + Math.min(120, -ahead / 4)
  return {
    path: `M${from.x} ${from.y}${curve(from, to, bend)}`,
    label: { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 },
  }
}
