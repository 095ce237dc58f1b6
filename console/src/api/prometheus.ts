import { Code, ConnectError } from '@connectrpc/connect'
import type { Span } from '@/ui/timeRange'
import { tellSignedOut } from './transport'

/** A series of a range query: its labels, and values at the times of the answer, null where there is none. */
export interface Series {
  labels: Record<string, string>
  values: (number | null)[]
}

export interface RangeAnswer {
  /** Seconds since 1970. */
  times: number[]
  series: Series[]
}

interface Answer {
  status: string
  error?: string
  errorType?: string
  data?: { resultType: string; result: { metric: Record<string, string>; values?: [number, string][] }[] }
}

/** Instead of a namespace: all of them, and the figures of Gantry's own nodes, which belong to none. It needs the right to view everything. */
export const everywhere = '*'

/** The HTTP path of a namespace's queries. */
export const queryPath = (namespace: string, method: 'query' | 'query_range') =>
  `${namespace === everywhere ? '' : `/ns/${encodeURIComponent(namespace)}`}/prometheus/api/v1/${method}`

/** The times of a range, at multiples of the step, so that asking again later gives the same points. */
export function grid(span: Span, step: number): { start: number; end: number } {
  return {
    start: Math.ceil(span.since.getTime() / 1000 / step) * step,
    end: Math.floor(span.until.getTime() / 1000 / step) * step,
  }
}

export function parseRange(answer: Answer, start: number, end: number, step: number): RangeAnswer {
  const length = Math.max(0, Math.floor((end - start) / step) + 1)
  const times = Array.from({ length }, (_, i) => start + i * step)
  const series = (answer.data?.result ?? []).map(({ metric, values }) => {
    const line: (number | null)[] = times.map(() => null)
    for (const [at, text] of values ?? []) {
      const i = Math.round((at - start) / step)
      const value = Number(text)
      if (i >= 0 && i < length && Number.isFinite(value)) line[i] = value
    }
    return { labels: metric, values: line }
  })
  return { times, series }
}

/** Asks PromQL over a time. Errors are ConnectErrors, as those of the API. */
export async function queryRange(
  namespace: string,
  query: string,
  span: Span,
  step: number,
  signal?: AbortSignal,
): Promise<RangeAnswer> {
  const { start, end } = grid(span, step)
  const parameters = new URLSearchParams({ query, start: String(start), end: String(end), step: String(step) })
  let response: Response
  try {
    response = await fetch(`${queryPath(namespace, 'query_range')}?${parameters.toString()}`, {
      signal,
      credentials: 'same-origin',
    })
  } catch (error) {
    if (error instanceof DOMException) throw error
    throw new ConnectError(String(error), Code.Unknown, undefined, undefined, error)
  }
  if (response.status === 401) {
    tellSignedOut()
    throw new ConnectError('not signed in', Code.Unauthenticated)
  }
  const answer = (await response.json().catch(() => ({ status: 'error', error: response.statusText }))) as Answer
  if (answer.status !== 'success') {
    const code =
      response.status === 403
        ? Code.PermissionDenied
        : response.status === 503
          ? Code.Unavailable
          : response.status < 500
            ? Code.InvalidArgument
            : Code.Internal
    throw new ConnectError(answer.error ?? response.statusText, code)
  }
  return parseRange(answer, start, end, step)
}

/** Quotes a value for PromQL. */
export const promString = (value: string) =>
  `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
