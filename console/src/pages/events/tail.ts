import type { BusinessEvent, QueryEventsResponse } from '@/api/gen/gantry/v1/event_pb'

/** What is known while events are followed: newest first, and the place behind which there are newer ones. */
export interface Tail {
  events: BusinessEvent[]
  after: QueryEventsResponse['next']
  missing: readonly string[]
  partial: readonly string[]
  /** Events that came with the last answers, to be told apart from those before. */
  fresh: ReadonlySet<string>
  /** There were more than are kept. */
  cut: boolean
}

export const kept = 2000

/** Puts an answer that follows, oldest first, before what is known. */
export function follow(before: Tail, answer: QueryEventsResponse, missing: readonly string[]): Tail {
  const known = new Set(before.events.slice(0, 1000).map((event) => event.id))
  const fresh = answer.events.filter((event) => !known.has(event.id)).toReversed()
  const events = [...fresh, ...before.events]
  return {
    events: events.slice(0, kept),
    after: answer.next,
    missing,
    partial: answer.partial,
    fresh: new Set(fresh.map((event) => event.id)),
    cut: before.cut || events.length > kept,
  }
}
