import { durationFromMs } from '@bufbuild/protobuf/wkt'

// What a search asks for: in the query string of the page, in the message of the API, and in the words of the command.

export const outcomes = ['success', 'refused', 'failed'] as const
export type Outcome = (typeof outcomes)[number]

export const kinds = ['server', 'client', 'producer', 'consumer', 'internal'] as const

/** Conditions that are one text each. */
export const textConditions = [
  'service',
  'endpoint',
  'kind',
  'instance',
  'version',
  'lane',
  'release',
  'min',
  'max',
] as const
export type TextCondition = (typeof textConditions)[number]

export interface Conditions extends Record<TextCondition, string> {
  outcomes: Outcome[]
  /** Pairs of key and value. */
  attributes: [key: string, value: string][]
  limit: number
}

export const limits = [100, 300, 1000] as const
const usualLimit = 300
const mostAttributes = 16

export function read(search: URLSearchParams): Conditions {
  const texts = Object.fromEntries(textConditions.map((name) => [name, search.get(name) ?? '']))
  const limit = Number(search.get('limit'))
  return {
    ...(texts as Record<TextCondition, string>),
    outcomes: outcomes.filter((outcome) => search.getAll('outcome').includes(outcome)),
    attributes: search
      .getAll('attr')
      .flatMap((text) => pair(text) ?? [])
      .slice(0, mostAttributes)
      .map(([k, v]) => [k, v]),
    limit: limits.find((known) => known === limit) ?? usualLimit,
  }
}

/** The same in the query string; what else is there stays. */
export function write(search: URLSearchParams, conditions: Conditions): URLSearchParams {
  const next = new URLSearchParams(search)
  for (const name of textConditions) set(next, name, conditions[name] ? [conditions[name]] : [])
  set(next, 'outcome', conditions.outcomes)
  set(
    next,
    'attr',
    conditions.attributes.map(([key, value]) => `${key}=${value}`),
  )
  set(next, 'limit', conditions.limit === usualLimit ? [] : [String(conditions.limit)])
  return next
}

function set(search: URLSearchParams, name: string, values: readonly string[]) {
  search.delete(name)
  for (const value of values) search.append(name, value)
}

/** Key and value of "key=value"; a value may have further signs of equality. */
export function pair(text: string): [[key: string, value: string]] | undefined {
  const at = text.indexOf('=')
  const key = text.slice(0, at).trim()
  const value = text.slice(at + 1).trim()
  return at > 0 && key && value ? [[key, value]] : undefined
}

const units: Record<string, number> = { us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 60e3 }

/** Milliseconds of 500ms, 1.5s, 2m, 300us; a number alone is milliseconds. */
export function milliseconds(text: string): number | undefined {
  const found = /^(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m)?$/.exec(text.trim())
  return found ? Number(found[1]) * units[found[2] ?? 'ms']! : undefined
}

/** Milliseconds as a condition says them. */
export const durationWord = (ms: number) =>
  ms >= 1000 ? `${Number((ms / 1000).toPrecision(4))}s` : `${Number(ms.toPrecision(4))}ms`

export function request(namespace: string, conditions: Conditions) {
  const min = milliseconds(conditions.min)
  const max = milliseconds(conditions.max)
  const { service, endpoint, kind, instance, version, lane, release, limit } = conditions
  return {
    ...{ namespace, service, endpoint, kind, instance, version, lane, release, limit },
    outcomes: [...conditions.outcomes],
    attributes: Object.fromEntries(conditions.attributes),
    ...(min === undefined ? {} : { minDuration: durationFromMs(min) }),
    ...(max === undefined ? {} : { maxDuration: durationFromMs(max) }),
  }
}

/** The message as JSON for curl: without what asks for nothing. */
export function message(namespace: string, conditions: Conditions, since: Date, until: Date): object {
  const seconds = (text: string) => {
    const ms = milliseconds(text)
    return ms === undefined ? undefined : `${ms / 1000}s`
  }
  const { service, endpoint, kind, instance, version, lane, release, limit } = conditions
  const all = {
    ...{ namespace, service, endpoint, kind, instance, version, lane, release, limit },
    within: { since: since.toISOString(), until: until.toISOString() },
    minDuration: seconds(conditions.min),
    maxDuration: seconds(conditions.max),
    outcomes: conditions.outcomes.length > 0 ? conditions.outcomes : undefined,
    attributes: conditions.attributes.length > 0 ? Object.fromEntries(conditions.attributes) : undefined,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== ''))
}

export function command(namespace: string, conditions: Conditions, range: { from: string; to: string }): string[] {
  const flags = {
    service: '',
    endpoint: '',
    kind: '',
    instance: '',
    version: '',
    lane: '',
    release: '',
    min: '',
    max: '',
  }
  return [
    ...['trace', 'find', '-n', namespace],
    ...(Object.keys(flags) as (keyof typeof flags)[]).flatMap((name) =>
      conditions[name] ? [`--${name}`, conditions[name]] : [],
    ),
    ...conditions.outcomes.flatMap((outcome) => ['--outcome', outcome]),
    ...conditions.attributes.flatMap(([key, value]) => ['--attribute', `${key}=${value}`]),
    ...['--since', range.from.replace(/^-/, '')],
    ...(range.to === 'now' ? [] : ['--until', range.to.replace(/^-/, '')]),
    ...['--limit', String(conditions.limit)],
  ]
}
