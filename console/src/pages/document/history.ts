import { Action, type AppliedReport, type HistoryEntry, type Version } from '@/api/gen/gantry/v1/release_pb'

/**
 * The version that a rollback without a word goes to: the newest of the trail that is not in force. The trail is what was in force before, as the history tells it;
 * a rollback takes from it. Undefined when the entries at hand do not tell.
 */
export function rollbackTarget(
  entries: readonly HistoryEntry[],
  versions: readonly Version[],
  released: bigint,
): bigint | undefined {
  let trail: bigint[] = []
  for (const entry of [...entries].reverse()) {
    switch (entry.action) {
      case Action.RELEASED:
      case Action.PROMOTED:
      case Action.DELETED:
        if (entry.previousVersion !== 0n) trail.push(entry.previousVersion)
        break
      case Action.ROLLED_BACK: {
        // What only ended a rollout left the trail as it was.
        if (entry.version === entry.previousVersion) break
        const at = trail.lastIndexOf(entry.version)
        if (at >= 0) trail = trail.slice(0, at)
        break
      }
    }
  }
  const kept = new Set(versions.map((version) => version.version))
  return trail.findLast((version) => version !== released && kept.has(version))
}

/** Whether the server takes a release of this version as a rollback. */
export const isEarlier = (version: bigint, released: bigint) => released === 0n || version < released

export type Applying = 'applied' | 'waiting' | 'failed'

export function applyingOf(report: AppliedReport): Applying {
  if (report.error) return 'failed'
  return report.version === report.wantedVersion ? 'applied' : 'waiting'
}

export interface Progress {
  applied: number
  waiting: number
  failed: number
  total: number
}

/** How far the instances are that should run a version; without one, all. */
export function progressOf(reports: readonly AppliedReport[], wanted?: bigint): Progress {
  const progress: Progress = { applied: 0, waiting: 0, failed: 0, total: 0 }
  for (const report of reports) {
    if (wanted !== undefined && report.wantedVersion !== wanted) continue
    progress[applyingOf(report)]++
    progress.total++
  }
  return progress
}

/** Instances by service and version of the program, the most first. */
export function countBy<T>(rows: readonly T[], name: (row: T) => string): { name: string; count: number }[] {
  const counts = new Map<string, number>()
  for (const row of rows) counts.set(name(row), (counts.get(name(row)) ?? 0) + 1)
  return [...counts]
    .map(([name, count]) => ({ name, count }))
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
}

/** A version or something that happened, newest first. */
export type Line = { at: bigint; entry: HistoryEntry; version?: Version }

/** The history, with what was published beside it. */
export function linesOf(entries: readonly HistoryEntry[], versions: readonly Version[]): Line[] {
  const byNumber = new Map(versions.map((version) => [version.version, version]))
  return entries.map((entry) => ({
    at: entry.at?.seconds ?? 0n,
    entry,
    version: entry.action === Action.PUBLISHED ? byNumber.get(entry.version) : undefined,
  }))
}

/** Who published a version that the reader has not seen. */
export const newerThan = (versions: readonly Version[], base: bigint): Version[] =>
  versions.filter((version) => version.version > base).sort((a, b) => Number(b.version - a.version))
