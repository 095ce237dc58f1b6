/** The least, the most and the last of what is known. */
export function extremes(
  values: readonly (number | null)[],
): { least: number; most: number; last: number } | undefined {
  let least = Infinity
  let most = -Infinity
  let last = 0
  for (const value of values) {
    if (value === null) continue
    least = Math.min(least, value)
    most = Math.max(most, value)
    last = value
  }
  return least === Infinity ? undefined : { least, most, last }
}

/** The point nearest to a place, within a distance, all in pixels. */
export function nearest(
  points: readonly { x: number; y: number }[],
  x: number,
  y: number,
  within: number,
): number | undefined {
  let best: number | undefined
  let bestDistance = within * within
  points.forEach((point, i) => {
    const distance = (point.x - x) ** 2 + (point.y - y) ** 2
    if (distance <= bestDistance) {
      bestDistance = distance
      best = i
    }
  })
  return best
}
