import type { Timestamp } from '@bufbuild/protobuf/wkt'
import type { Span } from '@/api/gen/gantry/v1/trace_pb'

// A trace as a tree on one clock. Times are milliseconds from the trace's first moment.

export interface Node {
  span: Span
  /** Its place in the order of the tree. */
  index: number
  parent: Node | undefined
  children: Node[]
  depth: number
  start: number
  end: number
  /** What was added to its times, because the clock of its instance was behind that of its caller. */
  shift: number
  /** Without the time in which a child was at work. */
  self: number
  /** It names a parent that is not here. */
  orphan: boolean
  /** It, or a span below it, failed. */
  failedBelow: boolean
}

export interface Trace {
  /** In the order of the tree: parents before children, siblings by their start. */
  nodes: Node[]
  roots: Node[]
  /** The span that the trace begins with. */
  root: Node | undefined
  /** Milliseconds since 1970 of time 0. */
  epoch: number
  duration: number
  /** By first appearance. */
  services: string[]
  /** A clock was corrected. */
  shifted: boolean
}

/** When something happened, in the trace's time. */
export const offsetOf = (at: Timestamp | undefined, epoch: number): number =>
  at ? Number(at.seconds) * 1000 - epoch + at.nanos / 1e6 : 0

export const isFailed = (span: Span) => span.outcome === 'failed' || span.status === 'error'

/** One process has one clock. */
export const sameClock = (a: Span, b: Span) => a.service === b.service && a.instance === b.instance

export function buildTrace(spans: readonly Span[], correctClocks = true): Trace {
  const base = spans.reduce<bigint | undefined>((least, span) => {
    const at = span.start?.seconds
    return at !== undefined && (least === undefined || at < least) ? at : least
  }, undefined)
  const all = spans.map((span) => newNode(span, base ?? 0n))
  link(all)
  const roots = all.filter((node) => !node.parent).sort(byStart)
  for (const node of all) node.children.sort(byStart)
  if (correctClocks) for (const node of preorder(roots)) node.shift = shiftOf(node)
  for (const node of all) {
    node.start += node.shift
    node.end += node.shift
    node.children.sort(byStart)
  }
  const zero = all.reduce((least, node) => Math.min(least, node.start), Infinity)
  for (const node of all) {
    node.start -= zero
    node.end -= zero
  }
  roots.sort(byStart)
  const nodes = preorder(roots)
  nodes.forEach((node, i) => (node.index = i))
  for (const node of nodes.toReversed()) {
    node.self = selfTime(node)
    if (node.failedBelow && node.parent) node.parent.failedBelow = true
  }
  return {
    nodes,
    roots,
    root: mainRoot(roots),
    epoch: nodes.length > 0 ? Number(base) * 1000 + zero : 0,
    duration: nodes.reduce((most, node) => Math.max(most, node.end), 0),
    services: [...new Set(nodes.map((node) => node.span.service))],
    shifted: nodes.some((node) => node.shift !== 0),
  }
}

function newNode(span: Span, base: bigint): Node {
  const start = span.start ? Number(span.start.seconds - base) * 1000 + span.start.nanos / 1e6 : 0
  const length = span.duration ? Number(span.duration.seconds) * 1000 + span.duration.nanos / 1e6 : 0
  return {
    span,
    index: 0,
    parent: undefined,
    children: [],
    depth: 0,
    start,
    end: start + Math.max(0, length),
    shift: 0,
    self: 0,
    orphan: false,
    failedBelow: isFailed(span),
  }
}

const byStart = (a: Node, b: Node) => a.start - b.start || b.end - a.end || (a.span.spanId < b.span.spanId ? -1 : 1)

function link(all: Node[]) {
  const byId = new Map<string, Node[]>()
  for (const node of all) {
    const known = byId.get(node.span.spanId)
    if (known) known.push(node)
    else byId.set(node.span.spanId, [node])
  }
  for (const node of all) {
    node.parent = parentOf(node, byId)
    node.orphan = !node.parent && node.span.parentSpanId !== ''
  }
  cutCycles(all)
  for (const node of all) node.parent?.children.push(node)
}

function parentOf(node: Node, byId: Map<string, Node[]>): Node | undefined {
  const { span } = node
  // Zipkin's two sides of a call have one id: the server's side is below the client's.
  if (span.kind === 'server') {
    const client = byId.get(span.spanId)?.find((other) => other !== node && other.span.kind === 'client')
    if (client) return client
  }
  const named = (span.parentSpanId ? byId.get(span.parentSpanId) : undefined)?.filter((other) => other !== node)
  return named?.find((other) => other.span.service === span.service) ?? named?.at(-1)
}

/** Spans whose parents lead back to themselves, which broken instrumentation makes, would belong to no root. */
function cutCycles(all: Node[]) {
  const safe = new Set<Node>()
  for (const first of all) {
    const way = new Set<Node>()
    let node: Node | undefined = first
    while (node && !safe.has(node)) {
      if (way.has(node)) {
        node.parent = undefined
        node.orphan = true
        break
      }
      way.add(node)
      node = node.parent
    }
    for (const passed of way) safe.add(passed)
  }
}

/** Without recursion: a trace may be a chain of thousands. Sets depths. */
export function preorder(roots: readonly Node[]): Node[] {
  const order: Node[] = []
  const waiting = roots.toReversed()
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    node.depth = node.parent ? node.parent.depth + 1 : 0
    order.push(node)
    for (let i = node.children.length - 1; i >= 0; i--) waiting.push(node.children[i]!)
  }
  return order
}

/**
 * How much a clock is behind. What was called cannot begin before it was called: that alone proves that clocks differ, so that alone is corrected. It goes to the middle of its
 * caller when it fits there (as much time for the way there as for the way back), otherwise to its beginning.
 */
function shiftOf(node: Node): number {
  const { parent } = node
  if (!parent) return 0
  if (sameClock(parent.span, node.span)) return parent.shift
  const earliest = parent.start + parent.shift
  if (node.start >= earliest) return 0
  const room = parent.end - parent.start - (node.end - node.start)
  return earliest - node.start + Math.max(0, node.span.kind === 'server' ? room / 2 : 0)
}

function selfTime(node: Node): number {
  let busy = 0
  let until = node.start
  for (const child of node.children) {
    const from = Math.max(child.start, until)
    const to = Math.min(child.end, node.end)
    if (to <= from) continue
    busy += to - from
    until = to
  }
  return Math.max(0, node.end - node.start - busy)
}

/** A root that is one, the earliest; where it has not come, the longest of those that name a parent that is not here. */
function mainRoot(roots: readonly Node[]): Node | undefined {
  const proper = roots.find((node) => !node.orphan)
  if (proper) return proper
  return roots.reduce<Node | undefined>(
    (longest, node) => (!longest || node.end - node.start > longest.end - longest.start ? node : longest),
    undefined,
  )
}
