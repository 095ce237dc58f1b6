import { clock, dateTime } from '@/ui/format'
import { groupings, type Grouping } from './graph'

export const windows = ['1m', '5m', '15m', '1h'] as const

export interface MapState {
  /** Name of the service in the middle; empty for everything. */
  focus: string
  hops: number
  search: string
  unwell: boolean
  lane: string
  /** Calls a second; undefined when nobody said. */
  least: number | undefined
  group: Grouping
  /** Names of groups that are not collapsed all the same. */
  open: string[]
  view: 'map' | 'table'
  /** Id of a node or an edge. */
  selected: string
  /** The moment that is shown, in milliseconds; undefined is now. */
  at: number | undefined
  window: (typeof windows)[number]
}

const oneOf = <T extends string>(all: readonly T[], word: string | null, fallback: T): T =>
  all.find((each) => each === word) ?? fallback

/** Reads the query string; what makes no sense counts as not said. */
export function parseState(search: URLSearchParams, now = Date.now()): MapState {
  const hops = Number(search.get('hops') ?? '1')
  const least = Number(search.get('least') ?? NaN)
  const at = Date.parse(search.get('at') ?? '')
  return {
    focus: search.get('focus') ?? '',
    hops: Number.isInteger(hops) && hops >= 1 && hops <= 5 ? hops : 1,
    search: search.get('search') ?? '',
    unwell: search.get('unwell') === '1',
    lane: search.get('lane') ?? '',
    least: Number.isFinite(least) && least >= 0 ? least : undefined,
    group: oneOf(groupings, search.get('group'), 'none'),
    open: (search.get('open') ?? '').split(' ').filter(Boolean),
    view: oneOf(['map', 'table'], search.get('view'), 'map'),
    selected: search.get('selected') ?? '',
    // What is to come nobody knows.
    at: Number.isNaN(at) || at > now ? undefined : at,
    window: oneOf(windows, search.get('window'), '5m'),
  }
}

/** As short as it can be told apart from others; the day where it is another one. */
export const momentText = (at: number) =>
  new Date(at).toDateString() === new Date().toDateString() ? clock(new Date(at)) : dateTime(new Date(at))

const units: Record<string, number> = { m: 60_000, h: 3600_000 }
export const windowMs = (window: MapState['window']) => parseInt(window, 10) * units[window.slice(-1)]!

/** How far a step of the slider goes: a sixtieth of its stretch, in whole minutes. */
export const stepMs = (stretch: number) => Math.max(60_000, Math.round(stretch / 60 / 60_000) * 60_000)
