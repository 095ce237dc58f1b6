import type { Node } from './model'

/** Where a row stands: in the list, and among those that have the same caller. */
export interface Place {
  index: number
  /** From 1, of so many that are shown. */
  position: number
  of: number
}

/** The places of all rows. In the document are only those in sight, so it has to be said. */
export function placesOf(rows: readonly Node[]): Map<Node, Place> {
  const places = new Map<Node, Place>()
  const last = new Map<Node | undefined, Place[]>()
  rows.forEach((node, index) => {
    let siblings = last.get(node.parent)
    if (!siblings) last.set(node.parent, (siblings = []))
    const place = { index, position: siblings.length + 1, of: 0 }
    siblings.push(place)
    places.set(node, place)
  })
  for (const siblings of last.values()) for (const place of siblings) place.of = siblings.length
  return places
}

/** The row that keys begin at: the chosen one, or what it is folded into, or the first. */
export function activeRow(
  rows: readonly Node[],
  places: ReadonlyMap<Node, Place>,
  selected: Node | undefined,
): Node | undefined {
  for (let node = selected; node; node = node.parent) if (places.has(node)) return node
  return rows[0]
}

/** What is in sight, and the row that the keyboard is at: the focus names it wherever one scrolls to. Sorted. */
export function withActive(range: readonly number[], active: number | undefined): number[] {
  if (active === undefined || range.includes(active)) return [...range]
  return active < (range[0] ?? Infinity) ? [active, ...range] : [...range, active]
}
