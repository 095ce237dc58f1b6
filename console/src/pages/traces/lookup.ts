import type { Span } from '@/api/gen/gantry/v1/trace_pb'
import { events } from '@/api/clients/events'
import { traces } from '@/api/clients/traces'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { textOf } from '../trace/rows'

// Somebody has an order's number and nothing else. Which attribute it is in is not asked of them: it is looked for in those that services themselves brought.

/** What instrumentation writes by itself: no number of an order is in there. */
const technical =
  /^(http|url|server|client|network|net|rpc|db|telemetry|service|cloud|host|process|os|container|k8s|exception|error|otel|code|thread|messaging|peer|user_agent|gantry|faas|deployment|gen_ai|feature_flag)\./

export interface KnownKey {
  key: string
  /** A value that was seen, to show what it is like. */
  example: string
}

/** Attributes that spans have: those of the business first. */
export function keysOf(spans: readonly Span[]): KnownKey[] {
  const known = new Map<string, { example: string; seen: number }>()
  for (const span of spans)
    for (const attribute of [...span.attributes, ...span.resource]) {
      const before = known.get(attribute.key)
      if (before) before.seen++
      else known.set(attribute.key, { example: textOf(attribute), seen: 1 })
    }
  return [...known]
    .sort(
      ([a, { seen: seenA }], [b, { seen: seenB }]) =>
        Number(technical.test(a)) - Number(technical.test(b)) || seenB - seenA || a.localeCompare(b),
    )
    .map(([key, { example }]) => ({ key, example }))
}

const mostKeys = 12

/** Keys that a bare value is looked for in: of the business, and not such whose values are of another kind. */
export function candidates(keys: readonly KnownKey[], value: string): string[] {
  const boolean = (text: string) => text === 'true' || text === 'false'
  const numeric = (text: string) => /^-?\d+(\.\d+)?$/.test(text)
  return keys
    .filter(({ key, example }) => {
      // Of keys without an example it is not known what their values are like.
      if (technical.test(key) || example === '') return false
      if (boolean(example) !== boolean(value)) return false
      return numeric(value) || !numeric(example)
    })
    .slice(0, mostKeys)
    .map(({ key }) => key)
}

/** Keys of the newest spans, which a few traces may lack, behind those that are known with an example. */
export function withMore(known: readonly KnownKey[], more: readonly string[]): KnownKey[] {
  const seen = new Set(known.map(({ key }) => key))
  const others = more.filter((key) => !seen.has(key)).map((key) => ({ key, example: '' }))
  const all = [...known, ...others]
  return [...all.filter(({ key }) => !technical.test(key)), ...all.filter(({ key }) => technical.test(key))]
}

/** Frequent values of an attribute among the newest spans. */
export async function valuesOf(
  namespace: string,
  service: string,
  key: string,
  prefix: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const answer = await traces.listTraceAttributes({ namespace, service, key, prefix, limit: 50 }, { signal })
  return answer.attributes.map(({ text }) => text)
}

/** Attributes of some recent traces that differ from each other. */
export async function sampleKeys(
  namespace: string,
  service: string,
  since: Date,
  signal?: AbortSignal,
): Promise<KnownKey[]> {
  const within = { since: timestampFromMs(since.getTime()) }
  const found = await traces.searchTraces({ namespace, service, within, limit: 100 }, { signal })
  const various = new Map<string, string>()
  for (const trace of found.traces.toSorted((a, b) => b.spans - a.spans))
    various.set(Object.keys(trace.services).sort().join(' ') + trace.rootName, trace.traceId)
  const full = await Promise.all(
    [...various.values()].slice(0, 4).map((traceId) => traces.getTrace({ namespace, traceId }, { signal })),
  )
  const more = await traces
    .listTraceAttributes({ namespace, service, ...within, limit: 200 }, { signal })
    // A node of an older version knows no such method; what the traces told is still worth having.
    .catch(() => undefined)
  return withMore(keysOf(full.flatMap((answer) => answer.spans)), more?.attributes.map(({ text }) => text) ?? [])
}

export interface Found {
  /** What it was found by. */
  key: string
  /** An event named the trace, not an attribute. */
  event?: boolean
  traceIds: string[]
}

/** Everything that is kept by default. */
const week = 7 * 86400_000

/** Traces that have a value in one of the attributes, and when there is none, those that a business event with the value names. */
export async function lookup(
  namespace: string,
  value: string,
  keys: readonly string[],
  signal?: AbortSignal,
): Promise<Found | undefined> {
  const since = timestampFromMs(Date.now() - week)
  const answers = await Promise.all(
    keys.map(async (key): Promise<Found> => {
      const answer = await traces.searchTraces(
        { namespace, within: { since }, attributes: { [key]: value }, limit: 20 },
        { signal },
      )
      return { key, traceIds: answer.traces.map((trace) => trace.traceId) }
    }),
  )
  const found = answers.find((answer) => answer.traceIds.length > 0)
  if (found) return found
  const { topics } = await events.topics({ namespace }, { signal })
  const fields = [...new Set(topics.flatMap((topic) => Object.keys(topic.fields)))].slice(0, mostKeys)
  const byEvent = await Promise.all(
    fields.map(async (key): Promise<Found> => {
      const answer = await events.query({ namespace, since, fields: { [key]: value }, limit: 20 }, { signal })
      const ids = answer.events.map((event) => event.traceId).filter(Boolean)
      return { key, event: true, traceIds: [...new Set(ids)] }
    }),
  )
  return byEvent.find((answer) => answer.traceIds.length > 0)
}
