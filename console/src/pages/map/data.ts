import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { events, topology } from '@/api/clients'
import type { InstanceFigure } from '@/api/gen/gantry/v1/topology_pb'
import { key } from '@/api/keys'
import { allServices } from '@/api/paged'
import type { UsedTimeRange } from '@/ui/timeRange'
import { add, sumOf, type Sum } from './graph'
import { windowMs, type MapState } from './state'

const hour = 3600_000
const spanOf = (since: number, until: number) => ({ since: timestampFromMs(since), until: timestampFromMs(until) })

/** Who called whom in the window that is shown, and in the hour before it. */
export function useTopology(namespace: string, { at, window }: Pick<MapState, 'at' | 'window'>) {
  const ms = windowMs(window)
  const answer = useQuery({
    // Now is asked again with every tick; the past stays as it was.
    queryKey:
      at === undefined
        ? key('figures', namespace, 'topology', window)
        : key('events', namespace, 'topology', window, at),
    queryFn: ({ signal }) => {
      const until = at ?? Date.now()
      return topology.topology({ namespace, time: spanOf(until - ms, until) }, { signal })
    },
    placeholderData: keepPreviousData,
    staleTime: at === undefined ? 4_000 : 60_000,
  })
  // The hour before moves slowly: the same question for five minutes.
  const end = Math.floor(((at ?? Date.now()) - ms) / 300_000) * 300_000
  const before = useQuery({
    queryKey: key('events', namespace, 'topology', 'before', end),
    queryFn: ({ signal }) => topology.topology({ namespace, time: spanOf(end - hour, end) }, { signal }),
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
  const services = useQuery({
    queryKey: key('services', namespace, 'all'),
    queryFn: ({ signal }) => allServices(namespace, signal),
  })
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

/** The lanes that instances send signals from, and what they served there, by service. */
export function lanesOf(instances: readonly InstanceFigure[]): ReadonlyMap<string, ReadonlyMap<string, Sum>> {
  const lanes = new Map<string, Map<string, Sum>>()
  for (const { lane, service, figures } of instances) {
    if (!lane) continue
    const services = lanes.get(lane) ?? new Map<string, Sum>()
    const had = services.get(service)
    services.set(service, had ? add(had, sumOf(figures)) : sumOf(figures))
    lanes.set(lane, services)
  }
  return lanes
}

export function useLanes(namespace: string, { at, window, lane }: Pick<MapState, 'at' | 'window' | 'lane'>) {
  const ms = windowMs(window)
  const instances = useQuery({
    // Without a chosen lane only their names are wanted, and those change when instances do.
    queryKey:
      at === undefined
        ? key(lane ? 'figures' : 'services', namespace, 'lanes', window)
        : key('events', namespace, 'lanes', window, at),
    queryFn: ({ signal }) => {
      const until = at ?? Date.now()
      return topology.instanceFigures({ namespace, time: spanOf(until - ms, until) }, { signal })
    },
    placeholderData: keepPreviousData,
    staleTime: lane && at === undefined ? 4_000 : 60_000,
  })
  return useMemo(() => lanesOf(instances.data?.instances ?? []), [instances.data])
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
