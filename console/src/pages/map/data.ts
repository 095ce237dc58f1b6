import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { events } from '@/api/clients/events'
import { topology } from '@/api/clients/topology'
import { key } from '@/api/keys'
import { servicesOf } from '@/api/fleet'
import type { UsedTimeRange } from '@/ui/timeRange'
import { windowMs, type MapState } from './state'

const hour = 3600_000
const spanOf = (since: number, until: number) => ({ since: timestampFromMs(since), until: timestampFromMs(until) })

/** Who called whom in the window that is shown, and in the hour before it. */
export function useTopology(namespace: string, { at, window, lane }: Pick<MapState, 'at' | 'window' | 'lane'>) {
  const ms = windowMs(window)
  const answer = useQuery({
    // Now is asked again with every tick; the past stays as it was.
    queryKey:
      at === undefined
        ? key('figures', namespace, 'topology', window, lane)
        : key('events', namespace, 'topology', window, lane, at),
    queryFn: ({ signal }) => {
      const until = at ?? Date.now()
      return topology.topology({ namespace, lane, time: spanOf(until - ms, until) }, { signal })
    },
    placeholderData: keepPreviousData,
    staleTime: at === undefined ? 4_000 : 60_000,
  })
  // The hour before moves slowly: the same question for five minutes.
  const end = Math.floor(((at ?? Date.now()) - ms) / 300_000) * 300_000
  const before = useQuery({
    queryKey: key('events', namespace, 'topology', 'before', lane, end),
    queryFn: ({ signal }) => topology.topology({ namespace, lane, time: spanOf(end - hour, end) }, { signal }),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    // Without it nothing is called slower than usual: that is all.
    retry: false,
  })
  return { answer, before }
}

export interface ServiceState {
  available: number
  all: number
  versions: string[]
  group: string
}

/** What the registry knows of each service, by name. */
export function useRegistry(namespace: string): ReadonlyMap<string, ServiceState> {
  const services = useQuery(servicesOf(namespace))
  return useMemo(() => {
    const known = new Map<string, ServiceState>()
    for (const service of services.data ?? []) {
      const name = service.ref?.service ?? ''
      const had = known.get(name)
      known.set(name, {
        available: service.available + (had?.available ?? 0),
        all: service.instances + (had?.all ?? 0),
        versions: [...new Set([...(had?.versions ?? []), ...service.versions])].sort(),
        group: had?.group ?? service.ref?.group ?? 'default',
      })
    }
    return known
  }, [services.data])
}

const mostChanges = 500

/** Changes within the stretch of the slider. */
export function useChanges(namespace: string, range: UsedTimeRange) {
  return useQuery({
    queryKey: key('changes', namespace, 'stretch', range.from, range.to),
    queryFn: ({ signal }) => events.changes({ namespace, ...range.timestamps(), limit: mostChanges }, { signal }),
    placeholderData: keepPreviousData,
  })
}
