import type { Member, Node, StatusResponse } from '@/api/gen/gantry/v1/cluster_pb'
import type { State } from '@/ui/states'

/** Behind by more changes than this, a node answers from an old picture. */
const lagging = 1000
/** Writing ends at 256 MiB; below this somebody should make room. */
const scarce = 1 << 30

export type Health = 'well' | 'unwritable' | 'noQuorum' | 'look'

/** How the cluster is in one word: what stops writing before what only wants a look. */
export function healthOf(status: StatusResponse): Health {
  if (!status.quorum) return 'noQuorum'
  if (status.unwritable) return 'unwritable'
  return status.warnings.length > 0 || rowsOf(status).some((row) => row.state !== 'up') ? 'look' : 'well'
}

export const healthState: Record<Health, State> = {
  well: 'healthy',
  look: 'degraded',
  unwritable: 'unavailable',
  noQuorum: 'unavailable',
}

export type Role = 'leader' | 'voter' | 'learner' | 'external'
export type RowState = 'up' | 'missing' | 'notStarted' | 'silent'

/** A node, the member of the state that it is, or both. */
export interface Row {
  key: string
  name: string
  node?: Node
  member?: Member
  role: Role
  state: RowState
  /** Changes that it has not mirrored; undefined when that is not known. */
  lag?: number
}

const roleOf = (member: Member | undefined): Role =>
  member === undefined ? 'external' : member.leader ? 'leader' : member.learner ? 'learner' : 'voter'

/** Nodes that run, and members that should. Members and nodes belong together by their name. */
export function rowsOf(status: StatusResponse): Row[] {
  const members = new Map(status.members.map((member) => [member.name, member]))
  const rows: Row[] = status.nodes.map((node) => {
    const member = members.get(node.name)
    members.delete(node.name)
    // A node that others cannot ask is in the list with what the state says of it alone.
    const silent = node.memoryBytes === 0n
    return {
      key: node.id,
      name: node.name || node.id,
      node,
      member,
      role: roleOf(member),
      state: silent ? 'silent' : 'up',
      lag: silent ? undefined : lagOf(node, status.revision),
    }
  })
  for (const member of status.members)
    if (members.get(member.name) === member || member.name === '')
      rows.push({
        key: member.id,
        name: member.name || member.id,
        member,
        role: roleOf(member),
        state: member.name === '' ? 'notStarted' : 'missing',
      })
  return rows.sort((a, b) => a.name.localeCompare(b.name))
}

function lagOf(node: Node, revision: bigint): number | undefined {
  if (node.mirroredRevision === 0n) return undefined
  // What the nodes say was not asked at the same moment.
  return Math.max(0, Number(revision - node.mirroredRevision))
}

export const isLagging = (lag: number | undefined) => lag !== undefined && lag > lagging
export const isScarce = (bytes: bigint) => bytes > 0n && bytes < BigInt(scarce)

/** How many members may be lost before nothing can be written: two of five, none of two. */
export function bears(status: StatusResponse): number {
  const voters = status.members.filter((member) => !member.learner).length
  const up = rowsOf(status).filter((row) => row.member && !row.member.learner && row.node).length
  return Math.max(0, up - (Math.floor(voters / 2) + 1))
}

/** Versions that run, when there are several: an upgrade that is under way, or was forgotten. */
export function versions(status: StatusResponse): string[] {
  const all = [...new Set(status.nodes.map((node) => node.version))].filter(Boolean)
  return all.length > 1 ? all.sort() : []
}
