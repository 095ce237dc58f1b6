import { isFailed, type Node, type Trace } from '../trace/model'

// Two traces beside each other. A span is the same on both sides when it has the same place: the same service, name and kind below the same caller. What one caller did several
// times is one row with a count, so that three queries on one side and forty on the other are seen as that.

export interface Side {
  count: number
  failed: number
  /** Milliseconds, of all of them. */
  total: number
  self: number
}

export interface Row {
  key: string
  service: string
  name: string
  kind: string
  depth: number
  /** Its place in the order of the tree. */
  index: number
  left: Side
  right: Side
  /** Right without left. */
  more: number
  moreSelf: number
}

interface Group {
  key: string
  left: Node[]
  right: Node[]
  depth: number
}

export function compareTraces(left: Trace, right: Trace): Row[] {
  const rows: Row[] = []
  const waiting = groups(left.roots, right.roots, 0, -1).reverse()
  for (let group = waiting.pop(); group; group = waiting.pop()) {
    const index = rows.push(rowOf(group, rows.length)) - 1
    const below = (nodes: readonly Node[]) => nodes.flatMap((node) => node.children)
    waiting.push(...groups(below(group.left), below(group.right), group.depth + 1, index).reverse())
  }
  return rows
}

/** Siblings by what they are, in the order in which they begin. */
function groups(left: readonly Node[], right: readonly Node[], depth: number, above: number): Group[] {
  const found = new Map<string, Group & { begins: number }>()
  const take = (nodes: readonly Node[], side: 'left' | 'right') => {
    for (const node of nodes) {
      const key = `${above}/${node.span.service}\n${node.span.name}\n${node.span.kind}`
      const group = found.get(key) ?? {
        key,
        left: [],
        right: [],
        depth,
        begins: node.start - (node.parent?.start ?? 0),
      }
      group[side].push(node)
      found.set(key, group)
    }
  }
  take(left, 'left')
  take(right, 'right')
  return [...found.values()].sort((a, b) => a.begins - b.begins)
}

function rowOf({ key, left, right, depth }: Group, index: number): Row {
  const { service, name, kind } = (left[0] ?? right[0]!).span
  const a = sideOf(left)
  const b = sideOf(right)
  return {
    key,
    service,
    name,
    kind,
    depth,
    index,
    left: a,
    right: b,
    more: b.total - a.total,
    moreSelf: b.self - a.self,
  }
}

function sideOf(nodes: readonly Node[]): Side {
  return {
    count: nodes.length,
    failed: nodes.filter((node) => isFailed(node.span)).length,
    total: nodes.reduce((sum, node) => sum + node.end - node.start, 0),
    self: nodes.reduce((sum, node) => sum + node.self, 0),
  }
}

/** Whether a row is something to look at: another count, other failures, or another duration by more than noise. */
export function differs({ left, right, more }: Row): boolean {
  if (left.count !== right.count || left.failed !== right.failed) return true
  return Math.abs(more) > Math.max(1, 0.1 * Math.max(left.total, right.total))
}

/** The rows whose own work explains most of the difference. */
export const explains = (rows: readonly Row[], most: number): Row[] =>
  rows
    .filter((row) => Math.abs(row.moreSelf) >= 0.1)
    .toSorted((a, b) => Math.abs(b.moreSelf) - Math.abs(a.moreSelf))
    .slice(0, most)

export interface Ran {
  service: string
  what: 'version' | 'release' | 'lane' | 'instance' | 'zone'
  left: string[]
  right: string[]
}

const aspects = ['version', 'release', 'lane', 'instance', 'zone'] as const

/** What ran on one side and not on the other: versions, releases, lanes, instances, zones of services that are in both. */
export function ranDifferently(left: Trace, right: Trace): Ran[] {
  return left.services
    .filter((service) => right.services.includes(service))
    .flatMap((service) =>
      aspects.flatMap((what): Ran[] => {
        const of = (trace: Trace) =>
          [
            ...new Set(trace.nodes.flatMap(({ span }) => (span.service === service && span[what] ? [span[what]] : []))),
          ].sort()
        const [a, b] = [of(left), of(right)]
        return a.join('\n') === b.join('\n') ? [] : [{ service, what, left: a, right: b }]
      }),
    )
}

/** A few of many to choose from: the fastest, the one in the middle, the slowest. */
export function choices<T>(traces: readonly T[], length: (trace: T) => number): T[] {
  const ordered = traces.toSorted((a, b) => length(a) - length(b))
  const middle = Math.floor(ordered.length / 2)
  const places = [0, 1, 2, middle, ordered.length - 3, ordered.length - 2, ordered.length - 1]
  return [...new Set(places)].flatMap((place) => ordered[place] ?? [])
}
