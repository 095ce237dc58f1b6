import { timestampMs } from '@bufbuild/protobuf/wkt'
import { Action, type HistoryEntry } from '@/api/gen/gantry/v1/release_pb'

export interface InForce {
  /** The version that everybody had; undefined when none was released. */
  version?: bigint
  since?: Date
  /** A version that some had already. */
  staged?: bigint
}

/** What of a document was in force at a moment, by its history. */
export function inForce(entries: readonly HistoryEntry[], at: number): InForce {
  const state: InForce = {}
  const ordered = entries
    .filter((entry) => entry.at && timestampMs(entry.at) <= at)
    .map((entry, i) => ({ entry, i, at: timestampMs(entry.at!) }))
    // What is newer is told first, also within one moment.
    .sort((a, b) => a.at - b.at || b.i - a.i)
  for (const { entry, at } of ordered) {
    switch (entry.action) {
      case Action.RELEASED:
      case Action.PROMOTED:
      case Action.ROLLED_BACK:
        state.version = entry.version || undefined
        state.since = new Date(at)
        state.staged = undefined
        break
      case Action.STAGED:
        state.staged = entry.version
        break
      case Action.ABORTED:
        state.staged = undefined
        break
      case Action.DELETED:
        state.version = state.staged = undefined
        state.since = new Date(at)
        break
    }
  }
  return state
}

/** Whether a document is, by its name, the configuration of a service: loan, loan.yaml, loan-prod.yaml. */
export const belongsTo = (name: string, service: string) =>
  name === service || name.startsWith(`${service}.`) || name.startsWith(`${service}-`)
