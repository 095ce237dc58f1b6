import { sameClock, type Node } from './model'

// The critical path is where the time went that the caller waited for: make a part of it shorter, and the trace is shorter.

export interface Segment {
  node: Node
  from: number
  to: number
}

interface Frame {
  node: Node
  from: number
  /** What is later is done. */
  at: number
  /** What it may have waited for, by its end. */
  children: Node[]
}

/**
 * Walks back from a span's end. A span waited for the child that ended last before the moment looked at; before that child began it was at work itself, or waited for the one
 * that ended before. Children that were still running when that child began were not waited for: they ran beside it. Segments are in the order of time and do not overlap.
 */
export function criticalPath(root: Node): Segment[] {
  const segments: Segment[] = []
  const add = (node: Node, from: number, to: number) => {
    if (to > from) segments.push({ node, from, to })
  }
  const frames: Frame[] = [open(root, root.start, root.end)]
  for (let frame = frames.at(-1); frame; frame = frames.at(-1)) {
    const child = lastBefore(frame)
    if (!child) {
      add(frame.node, frame.from, frame.at)
      frames.pop()
      continue
    }
    const to = Math.min(child.end, frame.at)
    const from = Math.max(child.start, frame.from)
    add(frame.node, to, frame.at)
    frame.at = Math.min(from, to)
    frames.push(open(child, frame.at, to))
  }
  return segments.reverse()
}

const open = (node: Node, from: number, at: number): Frame => ({
  node,
  from,
  at,
  children: node.children.filter((child) => waitedFor(node, child)).sort((a, b) => a.end - b.end || b.start - a.start),
})

/** Two clocks, and the moment between an answer's sending and its coming, make a child seem to overlap the next one a little. */
const slack = (a: Node, b: Node, child: Node) =>
  sameClock(a.span, b.span) ? 0 : Math.min(1, (child.end - child.start) / 10)

function lastBefore(frame: Frame): Node | undefined {
  while (frame.children.length > 0 && frame.at > frame.from) {
    const child = frame.children.pop()!
    const end = Math.min(child.end, frame.node.end)
    if (end <= frame.at + slack(frame.node, child, child) && child.start < frame.at && end > frame.from) return child
  }
  return undefined
}

/**
 * Whether a span can have waited for a child. Not for one that began after its end, nor for a message's consumer. A child that ended later by the same clock was left running; by
 * another clock the end proves nothing, and what is over is cut.
 */
function waitedFor(parent: Node, child: Node): boolean {
  if (child.span.kind === 'consumer' || child.start >= parent.end) return false
  return child.end <= parent.end || !sameClock(parent.span, child.span)
}

/** Time on the path, by what a segment belongs to, the most first. */
export function shares<Key>(segments: readonly Segment[], of: (node: Node) => Key): { key: Key; time: number }[] {
  const sums = new Map<Key, number>()
  for (const { node, from, to } of segments) sums.set(of(node), (sums.get(of(node)) ?? 0) + to - from)
  return [...sums].map(([key, time]) => ({ key, time })).sort((a, b) => b.time - a.time)
}
