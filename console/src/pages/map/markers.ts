import type { Change } from '@/api/gen/gantry/v1/event_pb'
import { dateOf } from '@/ui/format'

/** Changes that lie so near to each other on the slider that one sign stands for them. */
export interface Cluster {
  /** The moment of the last of them. */
  at: number
  /** From 0 to 1. */
  place: number
  /** A release is among them: more likely to have caused something than an instance that came. */
  release: boolean
  changes: Change[]
}

const places = 60

export function clusters(changes: readonly Change[], since: number, until: number): Cluster[] {
  const byPlace = new Map<number, Cluster>()
  const width = (until - since) / places
  for (const change of changes) {
    const at = dateOf(change.time)?.getTime()
    if (at === undefined || at < since || at > until || width <= 0) continue
    const index = Math.min(places - 1, Math.floor((at - since) / width))
    const had = byPlace.get(index)
    const release = change.kind.startsWith('release')
    if (had) {
      had.changes.push(change)
      had.release ||= release
      had.at = Math.max(had.at, at)
    } else byPlace.set(index, { at, place: (index + 0.5) / places, release, changes: [change] })
  }
  return [...byPlace.values()].sort((a, b) => a.at - b.at)
}

export const within = (changes: readonly Change[], since: number, until: number) =>
  changes.filter((change) => {
    const at = dateOf(change.time)?.getTime()
    return at !== undefined && at >= since && at <= until
  })

export const changeWords = (change: Change) =>
  [change.kind, change.service || change.target, change.instance, change.message].filter(Boolean).join(' ')
