import { canBeCause } from '@/api/changes'
import type { Change } from '@/api/gen/gantry/v1/event_pb'
import type { RankedError } from '@/api/gen/gantry/v1/topology_pb'
import type { RangeAnswer } from '@/api/prometheus'
import { dateOf } from '@/ui/format'

/** Errors of one service that belong together: of one place, or of one code. */
export interface ErrorGroup {
  id: string
  service: string
  code: string
  /** In the recent hour; those over least may belong to others. */
  least: number
  count: number
  first: Date | undefined
  last: Date | undefined
  /** The most frequent of them; missing when only the series remember the code. */
  example: RankedError | undefined
  places: RankedError[]
  /** Failed calls a second with this code, at the times of the answer. */
  trend: (number | null)[]
  /** Failed calls within the chosen time; undefined when the series do not know. */
  failed: number | undefined
  fresh?: Fresh
}

/** It began lately. change is what probably brought it. */
export interface Fresh {
  change?: Change
}

export const fingerprintText = (fingerprint: bigint) =>
  fingerprint === 0n ? '' : BigInt.asUintN(64, fingerprint).toString(16).padStart(16, '0')

const pair = (service: string, code: string) => `${service}\n${code}`

/** A change this long before the first error may have brought it. */
const reach = 15 * 60_000
/** Errors that began this near to where memory begins may be older than it. */
const slack = 60_000

/** The change that an error began after: a release, or an instance of the service itself that came or changed; the latest before the first error. */
export function causeOf(service: string, first: Date, changes: readonly Change[]): Change | undefined {
  let best: Change | undefined
  let bestAt = -Infinity
  for (const change of changes) {
    const at = dateOf(change.time)?.getTime()
    if (at === undefined || at > first.getTime() || at < first.getTime() - reach || !canBeCause(change)) continue
    const matters =
      change.kind.startsWith('release') || (change.service === service && change.kind.startsWith('instance'))
    if (matters && at > bestAt) {
      best = change
      bestAt = at
    }
  }
  return best
}

/** Whether an error began after where memory begins, and its code was not there earlier in the time that the series tell of. */
export function freshness(
  group: Pick<ErrorGroup, 'service' | 'first' | 'trend'>,
  times: readonly number[],
  knownSince: Date | undefined,
  changes: readonly Change[],
): Fresh | undefined {
  const { first } = group
  if (!first || !knownSince || first.getTime() - knownSince.getTime() < slack) return undefined
  // A value at a time tells of the step before it.
  const step = times.length > 1 ? (times[1]! - times[0]!) * 1000 : 0
  const earlier = group.trend.some((value, i) => (value ?? 0) > 0 && times[i]! * 1000 < first.getTime() - step)
  if (earlier) return undefined
  return { change: causeOf(group.service, first, changes) }
}

export interface Ranked {
  groups: ErrorGroup[]
  times: readonly number[]
}

const earliest = (a: Date | undefined, b: Date | undefined) => (!a ? b : !b ? a : a < b ? a : b)
const latest = (a: Date | undefined, b: Date | undefined) => (!a ? b : !b ? a : a > b ? a : b)

/** The ranking by place or by code, with the trend of each code and what is new. */
export function rank(
  errors: readonly RankedError[],
  series: RangeAnswer | undefined,
  changes: readonly Change[],
  knownSince: Date | undefined,
  by: 'place' | 'code',
): Ranked {
  const times = series?.times ?? []
  const step = times.length > 1 ? times[1]! - times[0]! : 0
  const trends = new Map(
    (series?.series ?? []).map(({ labels, values }) => [pair(labels['service'] ?? '', labels['code'] ?? ''), values]),
  )
  const groups = new Map<string, ErrorGroup>()
  const ensure = (id: string, service: string, code: string): ErrorGroup => {
    const had = groups.get(id)
    if (had) return had
    const trend = trends.get(pair(service, code))
    const made: ErrorGroup = {
      id,
      service,
      code,
      least: 0,
      count: 0,
      first: undefined,
      last: undefined,
      example: undefined,
      places: [],
      trend: trend ?? [],
      failed: trend && Math.round(trend.reduce<number>((sum, value) => sum + (value ?? 0) * step, 0)),
    }
    groups.set(id, made)
    return made
  }
  for (const error of errors) {
    const { service, code } = error
    const id = by === 'code' ? pair(service, code) : `${pair(service, code)}\n${error.fingerprint}\n${error.type}`
    const group = ensure(id, service, code)
    if (!group.example || error.count > group.example.count) group.example = error
    group.places.push(error)
    group.count += Number(error.count)
    group.least += Number(error.count - error.uncertain)
    group.first = earliest(group.first, dateOf(error.first))
    group.last = latest(group.last, dateOf(error.last))
  }
  if (by === 'code')
    for (const [id, values] of trends) {
      if (!values.some((value) => (value ?? 0) > 0)) continue
      const [service, code] = id.split('\n')
      ensure(id, service!, code!)
    }
  for (const group of groups.values()) group.fresh = freshness(group, times, knownSince, changes)
  return {
    groups: [...groups.values()].sort((a, b) => b.count - a.count || (b.failed ?? 0) - (a.failed ?? 0)),
    times,
  }
}
