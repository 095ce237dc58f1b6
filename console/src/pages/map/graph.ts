import { durationMs, type Duration } from '@bufbuild/protobuf/wkt'
import type { Figures, TopologyResponse } from '@/api/gen/gantry/v1/topology_pb'

// The graph that the map draws: what the server answered, with one edge a pair of nodes; then what is looked for in it. Nothing here knows where anything is drawn.

export const nodeTypes = ['service', 'database', 'cache', 'queue', 'external', 'user', 'unknown', 'group'] as const
export type NodeType = (typeof nodeTypes)[number]

/** Figures as numbers, durations in seconds. Those of several edges: counts add, a duration is the worst of theirs. */
export interface Sum {
  calls: number
  refused: number
  failed: number
  rate: number
  p50?: number
  p95?: number
  p99?: number
  /** Of several: its durations are the worst of theirs, not those of all calls. */
  several: boolean
}

export interface Part {
  /** Within a group these differ from the ends of the edge. */
  caller: string
  callee: string
  protocol: string
  sum: Sum
}

/** Why something needs a look. */
export type Unwell = 'failing' | 'slow'

export interface MapNode {
  id: string
  name: string
  type: NodeType
  sum: Sum
  unwell?: Unwell
  /** Names of what a group holds. */
  members: string[]
}

export interface MapEdge {
  id: string
  source: string
  target: string
  parts: Part[]
  sum: Sum
  /** Of the time before, when that is known. */
  usual?: Sum
  unwell?: Unwell
}

export interface MapGraph {
  nodes: MapNode[]
  edges: MapEdge[]
}

const secondsOf = (d: Duration | undefined) => (d ? durationMs(d) / 1000 : undefined)

export function sumOf(figures: Figures | undefined): Sum {
  const calls = Number(figures?.calls ?? 0n)
  const known = calls > 0 ? figures : undefined
  return {
    calls,
    refused: Number(figures?.refused ?? 0n),
    failed: Number(figures?.failed ?? 0n),
    rate: figures?.rate ?? 0,
    p50: secondsOf(known?.p50),
    p95: secondsOf(known?.p95),
    p99: secondsOf(known?.p99),
    several: false,
  }
}

const worst = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : b === undefined ? a : Math.max(a, b)

export function add(a: Sum, b: Sum): Sum {
  return {
    calls: a.calls + b.calls,
    refused: a.refused + b.refused,
    failed: a.failed + b.failed,
    rate: a.rate + b.rate,
    p50: worst(a.p50, b.p50),
    p95: worst(a.p95, b.p95),
    p99: worst(a.p99, b.p99),
    several: a.several || b.several || (a.calls > 0 && b.calls > 0),
  }
}

export const failedShare = (sum: Sum): number | undefined => (sum.calls > 0 ? sum.failed / sum.calls : undefined)

/** More than this share of failed calls, and it is failing. */
export const failingAbove = 0.01
/** This many times the p95 of the hour before, and at least so many seconds more, of at least so many calls: it is slow. */
const slowTimes = 2
const slowLeast = 0.02
const slowCalls = 20

export function unwellOf(sum: Sum, usual?: Sum): Unwell | undefined {
  if ((failedShare(sum) ?? 0) > failingAbove) return 'failing'
  if (!usual || sum.calls < slowCalls || usual.calls < slowCalls) return undefined
  if (sum.p95 === undefined || usual.p95 === undefined) return undefined
  return sum.p95 > usual.p95 * slowTimes && sum.p95 - usual.p95 > slowLeast ? 'slow' : undefined
}

const typeOf = (type: string): NodeType => nodeTypes.find((known) => known === type && known !== 'group') ?? 'unknown'
export const idOf = (type: string, name: string) => `${type}/${name}`
const edgeId = (source: string, target: string) => `${source}→${target}`

// Callers have no type of their own in the answer: among nodes of one name the likeliest.
const callerOrder: NodeType[] = ['service', 'user', 'queue', 'unknown', 'external', 'cache', 'database']

/** One edge a pair, its protocols as parts; in an order that depends on names alone, so that the same graph gets the same places. */
export function graphOf(
  answer: Pick<TopologyResponse, 'nodes' | 'edges'>,
  before?: Pick<TopologyResponse, 'edges'>,
): MapGraph {
  const nodes = new Map<string, MapNode>()
  const ensure = (name: string, type: NodeType, figures?: Figures) => {
    const id = idOf(type, name)
    if (!nodes.has(id)) nodes.set(id, { id, name, type, sum: sumOf(figures), members: [] })
    return id
  }
  for (const node of answer.nodes) ensure(node.name, typeOf(node.type), node.figures)
  const callerId = (name: string) => {
    const type = callerOrder.find((each) => nodes.has(idOf(each, name)))
    return type ? idOf(type, name) : ensure(name, name === 'user' || name === 'unknown' ? name : 'service')
  }
  const usual = new Map<string, Sum>()
  const pair = (caller: string, callee: string, type: string) => `${caller}\n${type}/${callee}`
  for (const edge of before?.edges ?? []) {
    const id = pair(edge.caller, edge.callee, edge.calleeType)
    const sum = sumOf(edge.figures)
    const had = usual.get(id)
    usual.set(id, had ? add(had, sum) : sum)
  }
  const edges = new Map<string, MapEdge>()
  for (const edge of answer.edges) {
    const source = callerId(edge.caller)
    const target = ensure(edge.callee, typeOf(edge.calleeType))
    const id = edgeId(source, target)
    const part = { caller: edge.caller, callee: edge.callee, protocol: edge.protocol, sum: sumOf(edge.figures) }
    const had = edges.get(id)
    if (had) {
      had.parts.push(part)
      had.sum = add(had.sum, part.sum)
    } else
      edges.set(id, {
        id,
        source,
        target,
        parts: [part],
        sum: part.sum,
        usual: usual.get(pair(edge.caller, edge.callee, edge.calleeType)),
      })
  }
  for (const edge of edges.values()) edge.unwell = unwellOf(edge.sum, edge.usual)
  for (const node of nodes.values()) node.unwell = unwellOf(node.sum)
  return ordered(nodes.values(), edges.values())
}

const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)

function ordered(nodes: Iterable<MapNode>, edges: Iterable<MapEdge>): MapGraph {
  return { nodes: [...nodes].sort(byId), edges: [...edges].sort(byId) }
}

/** How nodes are put together: by the beginning of their name, or all that are no services by their kind, or both. */
export const groupings = ['none', 'name', 'kind', 'both'] as const
export type Grouping = (typeof groupings)[number]

/** The group of a node, undefined when it stands alone. */
function groupOf(node: MapNode, by: Grouping): string | undefined {
  if (node.type !== 'service') return node.type === 'user' || by === 'name' || by === 'none' ? undefined : node.type
  if (by === 'name' || by === 'both') return /^[^-._/]+(?=[-._/].)/.exec(node.name)?.[0] ?? node.name
  return undefined
}

/** Puts nodes together but for the groups that are open; a group of one stays what it is. Calls within a group are not drawn. */
export function collapse(graph: MapGraph, by: Grouping, open: readonly string[] = []): MapGraph {
  if (by === 'none') return graph
  const members = new Map<string, MapNode[]>()
  for (const node of graph.nodes) {
    const group = groupOf(node, by)
    if (group !== undefined && !open.includes(group)) members.set(group, [...(members.get(group) ?? []), node])
  }
  const nodes: MapNode[] = []
  const moved = new Map<string, string>()
  for (const [name, list] of members) {
    if (list.length < 2) continue
    const id = idOf('group', name)
    nodes.push({
      id,
      name,
      type: 'group',
      sum: list.map((node) => node.sum).reduce(add),
      unwell: list.find((node) => node.unwell)?.unwell,
      members: list.map((node) => node.name),
    })
    for (const node of list) moved.set(node.id, id)
  }
  nodes.push(...graph.nodes.filter((node) => !moved.has(node.id)))
  const edges = new Map<string, MapEdge>()
  for (const edge of graph.edges) {
    const source = moved.get(edge.source) ?? edge.source
    const target = moved.get(edge.target) ?? edge.target
    const joined = source !== edge.source || target !== edge.target
    if (joined && source === target) continue
    const id = edgeId(source, target)
    const had = edges.get(id)
    edges.set(
      id,
      had
        ? {
            ...had,
            parts: [...had.parts, ...edge.parts],
            sum: add(had.sum, edge.sum),
            usual: undefined,
            // One that fails makes the whole need a look.
            unwell: had.unwell === 'failing' ? 'failing' : (edge.unwell ?? had.unwell),
          }
        : { ...edge, id, source, target },
    )
  }
  return ordered(nodes, edges.values())
}

/** A node and what is at most so many calls away from it, in either direction. */
export function around(graph: MapGraph, center: string, hops: number): MapGraph {
  if (!graph.nodes.some((node) => node.id === center)) return { nodes: [], edges: [] }
  const next = new Map<string, string[]>()
  const link = (a: string, b: string) => {
    const list = next.get(a)
    if (list) list.push(b)
    else next.set(a, [b])
  }
  for (const edge of graph.edges) {
    link(edge.source, edge.target)
    link(edge.target, edge.source)
  }
  const reached = new Set([center])
  let border = [center]
  for (let hop = 0; hop < hops && border.length > 0; hop++) {
    border = border.flatMap((id) =>
      (next.get(id) ?? []).filter((other) => {
        if (reached.has(other)) return false
        reached.add(other)
        return true
      }),
    )
  }
  return {
    nodes: graph.nodes.filter((node) => reached.has(node.id)),
    edges: graph.edges.filter((edge) => reached.has(edge.source) && reached.has(edge.target)),
  }
}

/** Edges that go less often are not shown; those that are unwell always are. */
export const busyEnough = (edge: MapEdge, least: number) => edge.sum.rate >= least || edge.unwell !== undefined

/** More edges than this are a tangle, and so are more than so many a node. */
export const many = 400
const manyEach = 6
const few = 60

/** The rate below which edges are hidden unless somebody says otherwise: 0 for what can be read as it is. */
export function defaultLeast(edges: readonly MapEdge[], nodes: number): number {
  const most = Math.min(many, Math.max(few, nodes * manyEach))
  if (edges.length <= most) return 0
  const kept = Math.floor(most * 0.75)
  const rates = edges.map((edge) => edge.sum.rate).sort((a, b) => b - a)
  const at = rates[kept]!
  if (at <= 0) return Number.MIN_VALUE
  // A round number above it, so that one can say it.
  const power = 10 ** Math.floor(Math.log10(at))
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= at)!
}

export interface Wanted {
  search: string
  unwell: boolean
}

/** What stays bright; undefined when nothing is looked for. An edge must be all that is asked for. */
export function lit(graph: MapGraph, wanted: Wanted): { nodes: Set<string>; edges: Set<string> } | undefined {
  const text = wanted.search.trim().toLowerCase()
  if (!text && !wanted.unwell) return undefined
  const matches = (node: MapNode) =>
    node.name.toLowerCase().includes(text) || node.members.some((name) => name.toLowerCase().includes(text))
  const found = text ? new Set(graph.nodes.filter(matches).map((node) => node.id)) : undefined
  const touches = (edge: MapEdge, ids: ReadonlySet<string> | undefined) =>
    !ids || ids.has(edge.source) || ids.has(edge.target)
  const edges = graph.edges.filter((edge) => (!wanted.unwell || edge.unwell) && touches(edge, found))
  const ends = new Set(edges.flatMap((edge) => [edge.source, edge.target]))
  const nodes = graph.nodes.filter(
    (node) => (!found || found.has(node.id)) && (!wanted.unwell || node.unwell || ends.has(node.id)),
  )
  return { nodes: new Set(nodes.map((node) => node.id)), edges: new Set(edges.map((edge) => edge.id)) }
}

/** How wide an edge is drawn, in pixels: ten times the calls are a step, not ten times the width. */
export const widthOf = (rate: number) => Math.min(7, 1.25 + Math.log10(1 + Math.max(0, rate) * 10) * 1.4)
