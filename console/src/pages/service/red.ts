import { useQuery, useQueryClient, type UseQueryResult } from '@tanstack/react-query'
import { key } from '@/api/keys'
import { promString } from '@/api/prometheus'
import { ranges, windowOf } from '@/api/series'
import { join, type Traffic } from '@/pages/overview/traffic'
import { stepOf, type UsedTimeRange } from '@/ui/timeRange'

/** Rate by outcome and durations over time, of a service or of one of its instances. */
export function useRed(
  namespace: string,
  service: string,
  range: UsedTimeRange,
  instance?: string,
): UseQueryResult<Traffic> {
  const client = useQueryClient()
  return useQuery({
    queryKey: key('figures', namespace, 'red', service, instance ?? '', range.from, range.to),
    queryFn: ({ signal, queryKey }) => {
      const span = range.span()
      const step = stepOf(span)
      const of = selector(service, instance)
      const speed = `rate(${of}[${windowOf(step)}])`
      return ranges(
        client,
        queryKey,
        namespace,
        {
          rates: `sum by (outcome) (histogram_count(${speed}))`,
          p50: `histogram_quantile(0.5, sum(${speed}))`,
          p99: `histogram_quantile(0.99, sum(${speed}))`,
        },
        span,
        step,
        signal,
      )
    },
    select: toTraffic,
  })
}

export const selector = (service: string, instance?: string) =>
  instance === undefined
    ? `gantry_request_duration_seconds{service=${promString(service)}}`
    : `gantry_instance_request_duration_seconds{service=${promString(service)},instance=${promString(instance)}}`

const toTraffic = ({ parts }: { parts: Record<'rates' | 'p50' | 'p99', Parameters<typeof join>[0]> }): Traffic =>
  join(parts.rates, { p50: parts.p50, p99: parts.p99 })
