// Places for a graph that is too large for dagre: layers from left to right by who calls whom, those of many nodes folded into several columns, so that the
// whole is about as wide as a screen is. Milliseconds for hundreds of nodes; the same graph gets the same places.

export interface Point {
  x: number
  y: number
}

export interface Shape {
  nodes: readonly string[]
  edges: readonly { id: string; source: string; target: string }[]
}

export interface Places {
  /** The upper left corner of each node. */
  nodes: Record<string, Point>
  /** Points that an edge goes through, for those that go around something. */
  routes: Record<string, Point[]>
}

export const nodeWidth = 184
export const nodeHeight = 48
const columnStep = nodeWidth + 40
const layerGap = 96
const rowStep = nodeHeight + 20
const aspect = 1.7
const sweeps = 6

/** Whom each node calls, and who is called at all. What a node asks of itself plays no part. */
function callsOf(shape: Shape) {
  const callees = new Map<string, string[]>(shape.nodes.map((id) => [id, []]))
  const called = new Set<string>()
  for (const { source, target } of shape.edges) {
    if (source === target) continue
    callees.get(source)?.push(target)
    called.add(target)
  }
  return { callees, called }
}

/** The layer of each node: one more than its farthest caller. Calls that close a circle do not count. */
export function layersOf(shape: Shape): Map<string, number> {
  const { callees, called } = callsOf(shape)
  const done = new Set<string>()
  const open = new Set<string>()
  const order: string[] = []
  const forward = new Map<string, string[]>()
  // Without recursion: a chain can be as long as the fleet is large.
  const visit = (root: string) => {
    const stack = [{ id: root, at: 0 }]
    open.add(root)
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!
      const next = callees.get(top.id)![top.at++]
      if (next === undefined) {
        stack.pop()
        open.delete(top.id)
        done.add(top.id)
        order.push(top.id)
        continue
      }
      if (open.has(next) || !callees.has(next)) continue
      forward.set(top.id, [...(forward.get(top.id) ?? []), next])
      if (done.has(next)) continue
      open.add(next)
      stack.push({ id: next, at: 0 })
    }
  }
  // Those that nobody calls first: a circle is then broken where it is entered.
  for (const id of shape.nodes) if (!called.has(id)) visit(id)
  for (const id of shape.nodes) if (!done.has(id)) visit(id)
  const layers = new Map<string, number>(shape.nodes.map((id) => [id, 0]))
  for (const id of order.reverse())
    for (const next of forward.get(id) ?? []) layers.set(next, Math.max(layers.get(next)!, layers.get(id)! + 1))
  return layers
}

/** With more edges than so many a node nearly everything calls everything: chains of calls would make as many layers as there are nodes. */
const dense = 4

/** The layer of each node by its nearest caller, what calls nothing in the last one: few layers for what has no order anyway. */
export function nearLayersOf(shape: Shape): Map<string, number> {
  const { callees, called } = callsOf(shape)
  const layers = new Map<string, number>()
  const spread = (roots: string[]) => {
    for (const id of roots) layers.set(id, 0)
    for (let border = roots; border.length > 0;)
      border = border.flatMap((id) =>
        callees.get(id)!.filter((next) => {
          if (layers.has(next) || !callees.has(next)) return false
          layers.set(next, layers.get(id)! + 1)
          return true
        }),
      )
  }
  spread(shape.nodes.filter((id) => !called.has(id)))
  // A circle that nobody enters is entered where its first name is.
  for (const id of shape.nodes) if (!layers.has(id)) spread([id])
  const last = Math.max(0, ...layers.values()) + 1
  for (const id of shape.nodes) if (called.has(id) && callees.get(id)!.length === 0) layers.set(id, last)
  return layers
}

/** Orders each layer so that neighbours come to lie beside each other. */
function orderLayers(shape: Shape, layers: Map<string, number>): string[][] {
  const rows: string[][] = []
  for (const id of shape.nodes) (rows[layers.get(id)!] ??= []).push(id)
  for (let i = 0; i < rows.length; i++) rows[i] ??= []
  const neighbours = new Map<string, string[]>(shape.nodes.map((id) => [id, []]))
  for (const { source, target } of shape.edges) {
    neighbours.get(source)?.push(target)
    neighbours.get(target)?.push(source)
  }
  // Where a node is in its layer, from 0 to 1: layers differ in length.
  const at = new Map<string, number>()
  const number = (row: string[]) => row.forEach((id, i) => at.set(id, (i + 0.5) / row.length))
  rows.forEach(number)
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const turn = sweep % 2 === 0 ? rows : [...rows].reverse()
    for (const row of turn) {
      const wish = new Map(
        row.map((id) => {
          const near = neighbours.get(id)!.filter((other) => layers.get(other) !== layers.get(id))
          const mean = near.reduce((sum, other) => sum + at.get(other)!, 0) / near.length
          return [id, near.length > 0 ? mean : at.get(id)!]
        }),
      )
      row.sort((a, b) => wish.get(a)! - wish.get(b)! || (a < b ? -1 : 1))
      number(row)
    }
  }
  return rows
}

const columnsAt = (rows: readonly string[][], tallest: number) =>
  rows.reduce((sum, row) => sum + Math.ceil(row.length / tallest), 0)

export function layered(shape: Shape): Places {
  if (shape.nodes.length === 0) return { nodes: {}, routes: {} }
  const tangled = shape.edges.length > shape.nodes.length * dense
  const rows = orderLayers(shape, tangled ? nearLayersOf(shape) : layersOf(shape)).filter((row) => row.length > 0)
  const longest = Math.max(...rows.map((row) => row.length))
  let tallest = 1
  const widthAt = (n: number) => columnsAt(rows, n) * columnStep + (rows.length - 1) * layerGap
  while (tallest < longest && widthAt(tallest) > tallest * rowStep * aspect) tallest++
  const nodes: Record<string, Point> = {}
  let x = 0
  for (const row of rows) {
    const columns = Math.ceil(row.length / tallest)
    const height = Math.ceil(row.length / columns)
    row.forEach((id, i) => {
      // Row by row through the columns, so that what is near in the order is near on the map.
      const column = i % columns
      const line = Math.floor(i / columns)
      nodes[id] = { x: x + column * columnStep, y: (line + (tallest - height) / 2) * rowStep + (column % 2) * 10 }
    })
    x += columns * columnStep + layerGap
  }
  return { nodes, routes: {} }
}

/** Finds places for new nodes beside those that have one: right of who calls them, left of what they call, in the nearest free row. */
export function placeNew(shape: Shape, known: Readonly<Record<string, Point>>): Record<string, Point> {
  const nodes: Record<string, Point> = { ...known }
  const free = (at: Point) =>
    Object.values(nodes).every(
      (other) => Math.abs(other.x - at.x) >= nodeWidth + 8 || Math.abs(other.y - at.y) >= nodeHeight + 8,
    )
  for (const id of shape.nodes) {
    if (nodes[id]) continue
    const caller = shape.edges.find((edge) => edge.target === id && nodes[edge.source])
    const callee = shape.edges.find((edge) => edge.source === id && nodes[edge.target])
    const near = caller ? nodes[caller.source]! : callee ? nodes[callee.target]! : { x: 0, y: 0 }
    const x = near.x + (caller ? 1 : callee ? -1 : 0) * (columnStep + layerGap)
    let at = { x, y: near.y }
    for (let step = 1; !free(at); step++) {
      const row = step % 2 === 1 ? (step + 1) / 2 : -step / 2
      at = { x, y: near.y + row * rowStep }
    }
    nodes[id] = at
  }
  return nodes
}
