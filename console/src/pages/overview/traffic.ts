import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import { key } from '@/api/keys'
import { queryRange, type RangeAnswer } from '@/api/prometheus'
import { resolve } from '@/ui/timeRange'

const step = 15
const hour = { from: '-1h', to: 'now' }

export interface Traffic {
  times: number[]
  success: (number | null)[]
  refused: (number | null)[]
  failed: (number | null)[]
  /** Of all. */
  rate: (number | null)[]
  errors: (number | null)[]
  p50: (number | null)[]
  p99: (number | null)[]
}

/** Puts two answers together. Where there are calls and none of an outcome, the outcome is 0. */
export function join(rates: RangeAnswer, quantiles: { p50: RangeAnswer; p99: RangeAnswer }): Traffic {
  const of = (outcome: string) => rates.series.find((series) => series.labels['outcome'] === outcome)?.values
  const parts = { success: of('success'), refused: of('refused'), failed: of('failed') }
  const rate = rates.times.map((_, i) => {
    const known = Object.values(parts).flatMap((values) =>
      values?.[i] === null || values?.[i] === undefined ? [] : [values[i]],
    )
    return known.length === 0 ? null : known.reduce((a, b) => a + b, 0)
  })
  const filled = (values: (number | null)[] | undefined) =>
    rate.map((all, i) => (all === null ? null : (values?.[i] ?? 0)))
  const failed = filled(parts.failed)
  return {
    times: rates.times,
    success: filled(parts.success),
    refused: filled(parts.refused),
    failed,
    rate,
    errors: rate.map((all, i) => (all === null || all === 0 ? null : failed[i]! / all)),
    p50: quantiles.p50.series[0]?.values ?? rates.times.map(() => null),
    p99: quantiles.p99.series[0]?.values ?? rates.times.map(() => null),
  }
}

export function useTraffic(namespace: string): UseQueryResult<Traffic> {
  return useQuery({
    queryKey: key('figures', namespace, 'traffic'),
    queryFn: async ({ signal }) => {
      const span = resolve(hour, Date.now())
      const ask = (query: string) => queryRange(namespace, query, span, step, signal)
      const quantile = (q: number) => ask(`histogram_quantile(${q}, sum(rate(gantry_request_duration_seconds[1m])))`)
      const [rates, p50, p99] = await Promise.all([
        ask('sum by (outcome) (histogram_count(rate(gantry_request_duration_seconds[1m])))'),
        quantile(0.5),
        quantile(0.99),
      ])
      return join(rates, { p50, p99 })
    },
    staleTime: (step * 1000) / 2,
  })
}

/** The last value that is known. */
export const last = (values: readonly (number | null)[] | undefined): number | undefined =>
  values?.findLast((value) => value !== null) ?? undefined
