import type { Span, SpanAttribute } from '@/api/gen/gantry/v1/trace_pb'
import type { Node, Trace } from './model'

/** Rows in sight: what is below a collapsed span is not, and with a choice only what it has, and the way there. */
export function visibleRows(trace: Trace, collapsed: ReadonlySet<string>, chosen?: ReadonlySet<Node>): Node[] {
  const keep = chosen && withAncestors(chosen)
  const rows: Node[] = []
  let hiddenBelow = Infinity
  for (const node of trace.nodes) {
    if (node.depth > hiddenBelow) continue
    hiddenBelow = Infinity
    if (keep && !keep.has(node)) continue
    rows.push(node)
    if (node.children.length > 0 && collapsed.has(node.span.spanId)) hiddenBelow = node.depth
  }
  return rows
}

function withAncestors(chosen: ReadonlySet<Node>): Set<Node> {
  const keep = new Set<Node>()
  for (const first of chosen)
    for (let node: Node | undefined = first; node && !keep.has(node); node = node.parent) keep.add(node)
  return keep
}

/** Makes a span visible: the ids of what must not be collapsed. */
export function ancestors(node: Node): string[] {
  const ids: string[] = []
  for (let above = node.parent; above; above = above.parent) ids.push(above.span.spanId)
  return ids
}

/** The text of an attribute's value. */
export function textOf(attribute: SpanAttribute): string {
  const { value } = attribute
  switch (value.case) {
    case undefined:
      return ''
    case 'binary':
      return [...value.value].map((byte) => byte.toString(16).padStart(2, '0')).join('')
    default:
      return String(value.value)
  }
}

/** Spans that have all words somewhere: service, name, ids, outcome, attributes as key=value, and what they logged. */
export function search(trace: Trace, typed: string): Node[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return []
  return trace.nodes.filter(({ span }) => {
    const text = searchable(span)
    return words.every((word) => text.includes(word))
  })
}

/** Gets the words of all spans ready while nobody waits, so that the first letter of a search does not have to. Answers how to end that. */
export function prepare({ nodes }: Trace): () => void {
  if (!('requestIdleCallback' in globalThis)) return () => {}
  let next = 0
  const work = (deadline: IdleDeadline) => {
    while (next < nodes.length && deadline.timeRemaining() > 2) searchable(nodes[next++]!.span)
    if (next < nodes.length) waiting = requestIdleCallback(work)
  }
  let waiting = requestIdleCallback(work)
  return () => cancelIdleCallback(waiting)
}

const known = new WeakMap<Span, string>()

function searchable(span: Span): string {
  let text = known.get(span)
  if (text === undefined) {
    const pairs = (attributes: readonly SpanAttribute[]) => attributes.map((a) => `${a.key}=${textOf(a)}`)
    text = [
      span.service,
      span.name,
      span.kind,
      span.outcome,
      span.spanId,
      span.instance,
      `version=${span.version}`,
      `lane=${span.lane}`,
      `release=${span.release}`,
      span.statusMessage,
      ...pairs(span.attributes),
      ...pairs(span.resource),
      ...span.events.flatMap((event) => [event.name, ...pairs(event.attributes)]),
    ]
      .join('\n')
      .toLowerCase()
    known.set(span, text)
  }
  return text
}
