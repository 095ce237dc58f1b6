import { EventOutcome, type EventTopic } from '@/api/gen/gantry/v1/event_pb'
import { promString } from '@/api/prometheus'
import { outcomes, pair, type Outcome } from '../traces/conditions'

// What a question about business events asks for: in the query string, in the message, and in the words of the command.

export interface Conditions {
  /** Exact, or the beginning of topics when it ends in "*". */
  topic: string
  service: string
  outcomes: Outcome[]
  trace: string
  fields: [name: string, value: string][]
  limit: number
}

export const limits = [200, 1000] as const
const mostFields = 16

export function read(search: URLSearchParams): Conditions {
  const limit = Number(search.get('limit'))
  return {
    topic: search.get('topic') ?? '',
    service: search.get('service') ?? '',
    trace: search.get('trace') ?? '',
    outcomes: outcomes.filter((outcome) => search.getAll('outcome').includes(outcome)),
    fields: search
      .getAll('field')
      .flatMap((text) => pair(text) ?? [])
      .slice(0, mostFields),
    limit: limits.find((known) => known === limit) ?? limits[0],
  }
}

export function write(search: URLSearchParams, conditions: Conditions): URLSearchParams {
  const next = new URLSearchParams(search)
  const set = (name: string, values: readonly string[]) => {
    next.delete(name)
    for (const value of values) if (value) next.append(name, value)
  }
  set('topic', [conditions.topic])
  set('service', [conditions.service])
  set('trace', [conditions.trace])
  set('outcome', conditions.outcomes)
  set(
    'field',
    conditions.fields.map(([name, value]) => `${name}=${value}`),
  )
  set('limit', conditions.limit === limits[0] ? [] : [String(conditions.limit)])
  return next
}

const codes = { success: EventOutcome.SUCCESS, refused: EventOutcome.REFUSED, failed: EventOutcome.FAILED } as const

export const request = (namespace: string, { topic, service, trace, outcomes, fields, limit }: Conditions) => ({
  ...{ namespace, topic, service, traceId: trace, limit },
  outcomes: outcomes.map((outcome) => codes[outcome]),
  fields: Object.fromEntries(fields),
})

/** The message as JSON for curl: without what asks for nothing. */
export function message(namespace: string, conditions: Conditions, since?: Date, until?: Date): object {
  const { topic, service, trace, limit } = conditions
  const all = {
    ...{ namespace, topic, service, traceId: trace, limit },
    since: since?.toISOString(),
    until: until?.toISOString(),
    outcomes: conditions.outcomes.length > 0 ? conditions.outcomes.map((o) => `EVENT_OUTCOME_${o.toUpperCase()}`) : '',
    fields: conditions.fields.length > 0 ? Object.fromEntries(conditions.fields) : '',
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== ''))
}

export function command(
  namespace: string,
  conditions: Conditions,
  range: { from: string; to: string },
  follow: boolean,
): string[] {
  const { topic, service, trace } = conditions
  return [
    ...['event', follow ? 'tail' : 'list', topic, '-n', namespace],
    ...(service ? ['--service', service] : []),
    ...(trace ? ['--trace', trace] : []),
    ...conditions.outcomes.flatMap((outcome) => ['--outcome', outcome]),
    ...conditions.fields.flatMap(([name, value]) => ['--field', `${name}=${value}`]),
    ...(follow
      ? []
      : [
          ...['--since', range.from.replace(/^-/, '')],
          ...(range.to === 'now' ? [] : ['--until', range.to.replace(/^-/, '')]),
          ...['--limit', String(conditions.limit)],
        ]),
  ]
}

/** PromQL: how many there were in each step, by their outcome. Fields and traces are not known to it. */
export function countQuery({ topic, service, outcomes }: Conditions, step: number): string {
  const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const matchers = [
    topic.endsWith('*')
      ? topic !== '*' && `topic=~${promString(`${escaped(topic.slice(0, -1))}.*`)}`
      : topic && `topic=${promString(topic)}`,
    service && `service=${promString(service)}`,
    outcomes.length > 0 && `outcome=~${promString(outcomes.join('|'))}`,
  ].filter(Boolean)
  return `sum by (outcome) (increase(gantry_business_events_total{${matchers.join(',')}}[${step}s]))`
}

/** Topics to choose from, and beginnings that several have: loan.* for loan.granted and loan.refused. */
export function offers(topics: readonly Pick<EventTopic, 'name'>[]): string[] {
  const families = new Map<string, number>()
  for (const { name } of topics) {
    const at = name.indexOf('.')
    if (at > 0) families.set(`${name.slice(0, at)}.*`, (families.get(`${name.slice(0, at)}.*`) ?? 0) + 1)
  }
  const shared = [...families].filter(([, count]) => count > 1).map(([name]) => name)
  return [...topics.map((topic) => topic.name), ...shared].sort()
}

/** Fields of the topics that are asked about, by name. */
export function fieldsOf(topics: readonly Pick<EventTopic, 'name' | 'fields'>[], topic: string): Map<string, string> {
  const asked = (name: string) => !topic || (topic.endsWith('*') ? name.startsWith(topic.slice(0, -1)) : name === topic)
  const all = topics.filter(({ name }) => asked(name)).flatMap(({ fields }) => Object.entries(fields))
  return new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)))
}
