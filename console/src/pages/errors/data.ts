import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { events } from '@/api/clients/events'
import { topology } from '@/api/clients/topology'
import { key } from '@/api/keys'
import { promString, queryRange } from '@/api/prometheus'
import { stepOf, type UsedTimeRange } from '@/ui/timeRange'

export const limit = 500
const points = 60
/** Changes are looked for from before the recent hour: what brought the first error of it came earlier. */
const changesBack = 75 * 60_000

export function useRanking(namespace: string, service: string) {
  return useQuery({
    queryKey: key('figures', namespace, 'errors', service),
    queryFn: ({ signal }) => topology.rankErrors({ namespace, service, limit }, { signal }),
    placeholderData: keepPreviousData,
  })
}

/** Failed calls a second by service and code, over the chosen time. */
export function useTrends(namespace: string, service: string, range: UsedTimeRange) {
  return useQuery({
    queryKey: key('figures', namespace, 'errors', 'trends', service, range.from, range.to),
    queryFn: ({ signal }) => {
      const span = range.span()
      const step = Math.max(15, stepOf(span, points))
      const selector = service ? `{service=${promString(service)}}` : ''
      return queryRange(
        namespace,
        `sum by (service, code) (rate(gantry_errors_total${selector}[${Math.max(60, step)}s]))`,
        span,
        step,
        signal,
      )
    },
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  })
}

export function useRecentChanges(namespace: string, range: UsedTimeRange) {
  return useQuery({
    queryKey: key('changes', namespace, 'errors', range.from, range.to),
    queryFn: ({ signal }) => {
      const since = Math.min(range.span().since.getTime(), Date.now() - changesBack)
      return events.changes({ namespace, since: timestampFromMs(since), limit: 500 }, { signal })
    },
    placeholderData: keepPreviousData,
  })
}
