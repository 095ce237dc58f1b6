import { useMemo } from 'react'
import { useSearchParams } from 'react-router'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'

// A time range is two words in the query string: now, -1h, or RFC 3339. What is relative stays so: a link to "the last hour" is of the last hour tomorrow too.

export interface TimeRange {
  from: string
  to: string
}

export interface Span {
  since: Date
  until: Date
}

const units: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 }

/** The moment that a word means, undefined when it means none. */
export function moment(word: string, now: number): number | undefined {
  if (word === 'now') return now
  const relative = /^-(\d{1,6})([smhd])$/.exec(word)
  if (relative) return now - Number(relative[1]) * units[relative[2]!]!
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(word)) return undefined
  const at = Date.parse(word)
  return Number.isNaN(at) ? undefined : at
}

/** Where a range begins and ends. Words that mean nothing, or an end before the beginning, give the fallback. */
export function resolve(range: TimeRange, now: number, fallback: TimeRange = { from: '-1h', to: 'now' }): Span {
  const since = moment(range.from, now)
  const until = moment(range.to, now)
  if (since !== undefined && until !== undefined && since < until)
    return { since: new Date(since), until: new Date(until) }
  return { since: new Date(moment(fallback.from, now)!), until: new Date(moment(fallback.to, now)!) }
}

/** A step that gives at most about 240 points, from 5 s up. */
export function stepOf(span: Span, points = 240): number {
  const wanted = (span.until.getTime() - span.since.getTime()) / 1000 / points
  for (const step of [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600]) if (step >= wanted) return step
  return 86400
}

/** The last 5 minutes ... as the command line says it. */
export const isRelative = (range: TimeRange) => range.to === 'now' && range.from.startsWith('-')

export interface UsedTimeRange extends TimeRange {
  /** Moves with the clock when it is relative: call it in a queryFn, not in render. */
  span: () => Span
  /** For API calls. */
  timestamps: () => { since: ReturnType<typeof timestampFromMs>; until: ReturnType<typeof timestampFromMs> }
  set: (range: TimeRange) => void
  relative: boolean
}

/** The range of this page, from the query string. */
export function useTimeRange(fallback: TimeRange = { from: '-1h', to: 'now' }): UsedTimeRange {
  const [search, setSearch] = useSearchParams()
  const from = search.get('from') ?? fallback.from
  const to = search.get('to') ?? fallback.to
  const { from: baseFrom, to: baseTo } = fallback
  return useMemo(() => {
    const range = { from, to }
    const span = () => resolve(range, Date.now(), { from: baseFrom, to: baseTo })
    return {
      ...range,
      span,
      timestamps: () => {
        const { since, until } = span()
        return { since: timestampFromMs(since.getTime()), until: timestampFromMs(until.getTime()) }
      },
      relative: isRelative(range),
      set: (next) =>
        setSearch((old) => {
          const changed = new URLSearchParams(old)
          changed.set('from', next.from)
          changed.set('to', next.to)
          return changed
        }),
    }
  }, [from, to, baseFrom, baseTo, setSearch])
}

/** A time range as the command line takes it: "7d" is how long ago, and no end is now. */
export const timeFlags = ({ from, to }: TimeRange): string[] => [
  ...['--since', from.replace(/^-/, '')],
  ...(to === 'now' ? [] : ['--until', to.replace(/^-/, '')]),
]
