import type { BusinessEvent } from '@/api/gen/gantry/v1/event_pb'

// Back in time through more events than one answer holds. The server answers with those that came last, in the order in which they came, and an event may come long
// after its time: "before the oldest that is known" would leave some out. So time is read in slices. A slice whose answer is not full has all of its events; one that is
// full is made narrower, until it is a single nanosecond, which is read from its log page by page. What is shown is whole down to an edge, and in the order of time.

/** The most that the server answers to one question. */
export const mostAnswered = 1000
/** Questions of one step: then who waits sees what there is. */
const mostAsked = 24
/** Pages of a single moment. */
const mostPages = 20

export interface Slice {
  /** Nanoseconds since 1970; until is not included. */
  since: bigint
  until: bigint
  limit: number
  /** Oldest first, behind this place; else the newest. */
  after?: string
}

export interface Part {
  events: BusinessEvent[]
  /** The search ended at its limit of work. */
  truncated: boolean
  next: string
  missing: readonly string[]
  partial: readonly string[]
}

export type Ask = (slice: Slice) => Promise<Part>

/** How far a walk has come. */
export interface Edge {
  /** Where it ends. */
  since: bigint
  /** All that is later was read. */
  at: bigint
  /** A guess how wide the next slice should be; unset when nothing is known. */
  width?: bigint
}

export interface Step {
  /** Newest first. */
  events: BusinessEvent[]
  edge: Edge
  /** Some of a moment's events are not there. */
  hole: boolean
  missing: readonly string[]
  partial: readonly string[]
}

export const timeOf = ({ time }: Pick<BusinessEvent, 'time'>): bigint =>
  time ? time.seconds * 1_000_000_000n + BigInt(time.nanos) : 0n

const compare = (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0)
const newestFirst = (a: BusinessEvent, b: BusinessEvent) =>
  compare(timeOf(b), timeOf(a)) || compare(b.sequence, a.sequence) || (a.id < b.id ? -1 : 1)

/** Goes on until it has found about as many as wanted, or is at the end. */
export async function older(ask: Ask, from: Edge, wanted: number): Promise<Step> {
  const { since } = from
  let { at, width } = from
  const found: BusinessEvent[] = []
  const missing = new Set<string>()
  const partial = new Set<string>()
  let hole = false
  let narrowed = 0
  const take = (events: readonly BusinessEvent[], begin: bigint) => {
    found.push(...events.toSorted(newestFirst))
    at = begin
    narrowed = 0
  }
  for (let asked = 0; asked < mostAsked && at > since && found.length < wanted / 2; asked++) {
    const begin = width !== undefined && at - width > since ? at - width : since
    const limit = width === undefined ? Math.min(wanted, mostAnswered) : mostAnswered
    const answer = await ask({ since: begin, until: at, limit })
    for (const name of answer.missing) missing.add(name)
    for (const what of answer.partial) partial.add(what)
    const slice = at - begin
    if (answer.events.length < limit && !answer.truncated) {
      take(answer.events, begin)
      width = wider(slice, answer.events.length, Math.min(wanted, mostAnswered * 0.7))
    } else if (slice > 1n) {
      width = narrower(answer, begin, at, wanted, narrowed++)
    } else {
      const moment = await whole(ask, begin, at)
      hole ||= !moment.whole
      take(moment.events, begin)
    }
  }
  return { events: found, edge: { since, at, width }, hole, missing: [...missing], partial: [...partial] }
}

/** After a slice that was whole: as wide as it takes for what is wanted, if events go on as they were. */
function wider(slice: bigint, count: number, goal: number): bigint {
  const factor = count === 0 ? 8 : Math.min(8, Math.max(0.25, goal / count))
  const width = (slice * BigInt(Math.round(factor * 100))) / 100n
  return width > 0n ? width : 1n
}

/** After one that was full: down to the time of the event that would have been about as many as wanted, fewer at each try, since late ones come in any order. */
function narrower({ events, truncated }: Part, begin: bigint, until: bigint, wanted: number, tries: number): bigint {
  const slice = until - begin
  if (truncated) return slice / 2n
  const times = events.map(timeOf).sort((a, b) => compare(b, a))
  const place = Math.floor((Math.min(wanted, times.length) * 0.75) / 4 ** tries)
  const width = until - times[place]!
  return width < slice ? width : slice - 1n
}

/** All of a slice, however many they are: its log from the beginning. */
async function whole(ask: Ask, since: bigint, until: bigint) {
  const events: BusinessEvent[] = []
  let after = ''
  for (let i = 0; i < mostPages; i++) {
    const answer = await ask({ since, until, limit: mostAnswered, after })
    events.push(...answer.events)
    if (answer.events.length < mostAnswered && !answer.truncated) return { events, whole: true }
    after = answer.next
  }
  return { events, whole: false }
}

/** What the steps found, one below the other; an event that two nodes took, once. */
export function joined(steps: readonly Step[]): BusinessEvent[] {
  const known = new Set<string>()
  return steps.flatMap(({ events }) =>
    events.filter(({ id }) => {
      if (known.has(id)) return false
      known.add(id)
      return true
    }),
  )
}
