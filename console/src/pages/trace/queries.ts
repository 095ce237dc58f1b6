import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { events } from '@/api/clients/events'
import { releases } from '@/api/clients/releases'
import { traces } from '@/api/clients/traces'
import type { QueryEventsResponse } from '@/api/gen/gantry/v1/event_pb'
import { key } from '@/api/keys'
import { belongsTo, inForce } from './inForce'
import { rest } from './resting'

export function useTrace(namespace: string, id: string) {
  return useQuery({
    queryKey: key('traces', namespace, 'trace', id),
    queryFn: ({ signal }) => traces.getTrace({ namespace, traceId: id }, { signal }),
    enabled: id !== '',
    staleTime: 60_000,
  })
}

export function useTraceEvents(namespace: string, id: string) {
  return useQuery({
    queryKey: key('events', namespace, 'trace', id),
    queryFn: ({ signal }) => events.query({ namespace, traceId: id, limit: 1000 }, { signal }),
    staleTime: 60_000,
  })
}

/** What an answer about events lacks, in words. */
export const lacking = (answer: QueryEventsResponse): { missing: readonly string[]; partial: readonly string[] } => ({
  // Servers that know only themselves do not say it.
  missing: (answer as { missingNodes?: string[] }).missingNodes ?? [],
  partial: answer.partial,
})

export const spans = { '30m': 30 * 60_000, '6h': 6 * 3600_000, '24h': 24 * 3600_000 } as const
export type Before = keyof typeof spans

/** What was changed before a moment, and until another one. */
export function useChangesBefore(namespace: string, before: Before, from: number, until: number) {
  return useQuery({
    queryKey: key('changes', namespace, 'before', from, before),
    queryFn: ({ signal }) =>
      events.changes(
        {
          namespace,
          since: timestampFromMs(Math.floor(from) - spans[before]),
          until: timestampFromMs(Math.ceil(until) + 1),
          limit: 200,
        },
        { signal },
      ),
    placeholderData: keepPreviousData,
  })
}

/** Who walks through spans with a key held down does not look at each: the question is given up before it is asked. */
const pause = (milliseconds: number, signal: AbortSignal) =>
  new Promise<void>((resolve, reject) => {
    const waiting = setTimeout(resolve, milliseconds)
    signal.addEventListener('abort', () => {
      clearTimeout(waiting)
      reject(new DOMException('given up', 'AbortError'))
    })
  })

/** The configuration of a service as it was at a moment. */
export function useConfigurationAt(namespace: string, service: string, at: number) {
  return useQuery({
    queryKey: key('documents', namespace, 'at', service, at),
    queryFn: async ({ signal }) => {
      await pause(rest, signal)
      const found = await releases.list({ namespace, kind: 'Config', search: service, pageSize: 100 }, { signal })
      const own = found.documents.filter((document) => belongsTo(document.ref?.name ?? '', service)).slice(0, 8)
      return Promise.all(
        own.map(async (document) => {
          const history = await releases.history({ ref: document.ref, limit: 1000 }, { signal })
          return { document, ...inForce(history.entries, at) }
        }),
      )
    },
    enabled: service !== '',
  })
}
