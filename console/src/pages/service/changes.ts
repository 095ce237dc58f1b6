import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import type { Change } from '@/api/gen/gantry/v1/event_pb'
import { events } from '@/api/clients/events'
import { key } from '@/api/keys'
import { dateOf } from '@/ui/format'
import type { UsedTimeRange } from '@/ui/timeRange'
import type { Marker } from '@/ui/TimeSeries'

const limit = 1000

export interface Changes {
  changes: Change[]
  truncated: boolean
  partial: string[]
}

/** What was changed of a service's instances, and of the documents that concern it, newest first. */
export function useChanges(
  namespace: string,
  service: string,
  documents: readonly string[],
  range: UsedTimeRange,
  instance?: string,
): UseQueryResult<Changes> {
  const targets = documents.join('\n')
  return useQuery({
    queryKey: key('changes', namespace, service, instance ?? '', targets, range.from, range.to),
    queryFn: async ({ signal }) => {
      const time = range.timestamps()
      const [own, released] = await Promise.all([
        events.changes({ namespace, service, ...time, limit }, { signal }),
        targets
          ? events.changes({ namespace, kind: 'release', ...time, limit }, { signal })
          : Promise.resolve({ changes: [], truncated: false, partial: [] }),
      ])
      return {
        changes: merge(own.changes, released.changes, new Set(documents), instance),
        truncated:
          own.truncated || released.truncated || own.changes.length >= limit || released.changes.length >= limit,
        partial: [...new Set([...own.partial, ...released.partial])],
      }
    },
    placeholderData: (before) => before,
  })
}

/** Own changes and the releases of documents in question, newest first, each once. */
export function merge(
  own: readonly Change[],
  released: readonly Change[],
  documents: ReadonlySet<string>,
  instance?: string,
): Change[] {
  const all = new Map<string, Change>()
  for (const change of own) if (instance === undefined || change.instance === instance) all.set(change.id, change)
  for (const change of released) if (documents.has(change.target)) all.set(change.id, change)
  return [...all.values()].sort((a, b) => timeOf(b) - timeOf(a))
}

const timeOf = (change: Change) => dateOf(change.time)?.getTime() ?? 0

/** Lines for a chart: each release, and what happened to instances, where what happened together is one line. */
export function markersOf(changes: readonly Change[], together = 30_000): Marker[] {
  const markers: Marker[] = []
  let open: { at: Date; kind: string; count: number; name: string } | undefined
  const close = () => {
    if (open)
      markers.push({ at: open.at, text: open.count > 1 ? `${open.count} × ${open.kind}` : `${open.kind} ${open.name}` })
    open = undefined
  }
  for (const change of [...changes].sort((a, b) => timeOf(a) - timeOf(b))) {
    const at = dateOf(change.time)
    if (!at || change.kind === 'release.published') continue
    if (change.kind.startsWith('release')) {
      markers.push({ at, text: `${change.kind} ${change.target}` })
      continue
    }
    if (open && open.kind === change.kind && at.getTime() - open.at.getTime() <= together) {
      open.count++
      continue
    }
    close()
    open = { at, kind: change.kind, count: 1, name: change.instance || change.target }
  }
  close()
  return markers
}
