import {
  AlertState,
  type Alert,
  type AlertChange,
  type AlertRule,
  type AlertTransition,
} from '@/api/gen/gantry/v1/alert_pb'
import { paths } from '@/app/paths'
import { dateOf } from '@/ui/format'
import type { State } from '@/ui/states'
import type { Span } from '@/ui/timeRange'

export interface Firing {
  rule: AlertRule
  alert: Alert
}

export const stateWord: Record<AlertState, State> = {
  [AlertState.UNSPECIFIED]: 'inactive',
  [AlertState.INACTIVE]: 'inactive',
  [AlertState.PENDING]: 'pending',
  [AlertState.FIRING]: 'firing',
  [AlertState.RESOLVED]: 'resolved',
}

export const severities = ['critical', 'warning', 'info'] as const
const rank = (severity: string | undefined) => {
  const at = severities.indexOf(severity as (typeof severities)[number])
  return at < 0 ? severities.length : at
}

/** Since when it fires, or waits to. */
export const since = (alert: Alert) => dateOf(alert.firedAt ?? alert.activeAt)

/** The service that an alert is about. */
export const serviceOf = (labels: Readonly<Record<string, string>>) =>
  labels['service'] ?? labels['callee'] ?? labels['caller']

const given = new Set(['alertname', 'namespace', 'severity'])

/** The labels that tell an alert from others of its rule. */
export const ownLabels = (labels: Readonly<Record<string, string>>) =>
  Object.entries(labels)
    .filter(([name]) => !given.has(name))
    .sort(([a], [b]) => (a === 'service' ? -1 : b === 'service' ? 1 : a.localeCompare(b)))

export interface Filter {
  /** firing, pending or resolved; empty for firing and pending. */
  state: string
  severity: string
  text: string
}

export type Grouping = 'rule' | 'service' | 'severity'

export function filterAlerts(rules: readonly AlertRule[], filter: Filter): Firing[] {
  const text = filter.text.trim().toLowerCase()
  return rules
    .flatMap((rule) => rule.alerts.map((alert) => ({ rule, alert })))
    .filter(({ rule, alert }) => {
      const word = stateWord[alert.state]
      if (filter.state ? word !== filter.state : word !== 'firing' && word !== 'pending') return false
      if (filter.severity && alert.labels['severity'] !== filter.severity) return false
      if (!text) return true
      const all = [
        rule.name,
        alert.annotations['summary'] ?? '',
        ...Object.entries(alert.labels).map((l) => l.join('=')),
      ]
      return all.some((part) => part.toLowerCase().includes(text))
    })
    .sort(worstFirst)
}

function worstFirst(a: Firing, b: Firing): number {
  return (
    Number(b.alert.state === AlertState.FIRING) - Number(a.alert.state === AlertState.FIRING) ||
    a.alert.silencedBy.length - b.alert.silencedBy.length ||
    rank(a.alert.labels['severity']) - rank(b.alert.labels['severity']) ||
    (since(b.alert)?.getTime() ?? 0) - (since(a.alert)?.getTime() ?? 0)
  )
}

export interface Group {
  name: string
  alerts: Firing[]
}

/** Groups in the order of their worst alert. */
export function groupAlerts(alerts: readonly Firing[], by: Grouping): Group[] {
  const groups = new Map<string, Group>()
  for (const one of alerts) {
    const name =
      by === 'rule'
        ? one.rule.name
        : by === 'service'
          ? (serviceOf(one.alert.labels) ?? '')
          : (one.alert.labels['severity'] ?? '')
    const group = groups.get(name)
    if (group) group.alerts.push(one)
    else groups.set(name, { name, alerts: [one] })
  }
  return [...groups.values()]
}

export function countStates(rules: readonly AlertRule[]) {
  const counts = { firing: 0, pending: 0, resolved: 0, silenced: 0, failing: 0 }
  for (const rule of rules) {
    if (rule.failing) counts.failing++
    for (const alert of rule.alerts) {
      if (alert.state === AlertState.FIRING) counts.firing++
      if (alert.state === AlertState.PENDING) counts.pending++
      if (alert.state === AlertState.RESOLVED) counts.resolved++
      if (alert.silencedBy.length > 0) counts.silenced++
    }
  }
  return counts
}

export interface Bar {
  state: 'firing' | 'pending'
  from: Date
  until: Date
  /** It goes on after the end of the time that is shown. */
  open: boolean
}

export interface Lane {
  key: string
  kind: string
  rule: string
  labels: Record<string, string>
  bars: Bar[]
}

const laneKey = (kind: string, name: string, labels: Readonly<Record<string, string>>) =>
  `${kind}/${name} ${JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))}`

/**
 * When each alert waited and fired within a time. What was under way when the time began is known from the state that its first transition leaves; what has had no
 * transition since, from the alerts of now.
 */
export function lanesOf(
  entries: readonly AlertTransition[],
  rules: readonly AlertRule[],
  span: Span,
  now: Date,
): Lane[] {
  const lanes = new Map<string, Lane>()
  const laneOf = (kind: string, rule: string, labels: Record<string, string>) => {
    const key = laneKey(kind, rule, labels)
    const lane = lanes.get(key) ?? { key, kind, rule, labels, bars: [] }
    lanes.set(key, lane)
    return lane
  }
  const open = new Map<string, { state: AlertState; at: Date }>()
  const close = (lane: Lane, state: AlertState, from: Date, until: Date, goesOn: boolean) => {
    const word = stateWord[state]
    if ((word === 'firing' || word === 'pending') && until > from)
      lane.bars.push({ state: word, from, until, open: goesOn })
  }
  for (const entry of [...entries].reverse()) {
    const at = dateOf(entry.at)
    if (!at || entry.to === AlertState.UNSPECIFIED) continue
    const lane = laneOf(entry.kind, entry.name, entry.labels)
    const before = open.get(lane.key)
    close(lane, before?.state ?? entry.from, before?.at ?? span.since, at, false)
    open.set(lane.key, { state: entry.to, at })
  }
  const end = span.until < now ? span.until : now
  for (const rule of rules)
    for (const alert of rule.alerts) {
      const key = laneKey(rule.kind, rule.name, alert.labels)
      const began = since(alert)
      const going = alert.state === AlertState.FIRING || alert.state === AlertState.PENDING
      if (!going || open.has(key) || !began || began >= end) continue
      open.set(laneOf(rule.kind, rule.name, alert.labels).key, {
        state: alert.state,
        at: began < span.since ? span.since : began,
      })
    }
  for (const [key, { state, at }] of open) close(lanes.get(key)!, state, at, end, true)
  return [...lanes.values()]
    .filter((lane) => lane.bars.length > 0)
    .sort((a, b) => weight(b) - weight(a) || a.key.localeCompare(b.key))
}

/** How long it fired. */
const weight = (lane: Lane) =>
  lane.bars.reduce(
    (sum, bar) => sum + (bar.until.getTime() - bar.from.getTime()) * (bar.state === 'firing' ? 1 : 0.01),
    0,
  )

/** Joins what follows each other of the same kind and service, so that ten registrations do not hide a release. */
export function joinChanges(changes: readonly AlertChange[]): { change: AlertChange; times: number }[] {
  const joined: { change: AlertChange; times: number }[] = []
  for (const change of changes) {
    const last = joined.at(-1)
    if (last && change.service && last.change.kind === change.kind && last.change.service === change.service)
      last.times++
    else joined.push({ change, times: 1 })
  }
  return joined
}

export interface Subject {
  name: string
  /** Of its page; empty for what has none. */
  path: string
  /** What else is said of the change. */
  rest: string
}

/** What a change was made to: a document, an instance, or the service of several. */
export function subjectOf(
  namespace: string,
  { service, summary, target }: Pick<AlertChange, 'service' | 'summary' | 'target'>,
  times = 1,
): Subject {
  const rest = summary
    .split(': ')
    .filter((word) => word !== target)
    .join(': ')
  const [first = '', ...others] = target.split('/')
  if (service && times === 1 && others.length === 2 && others[0] === service)
    return { name: `${service}/${others[1]!}`, path: paths.instance(namespace, service, others[1]!, first), rest }
  if (service)
    return {
      name: service,
      path: paths.service(namespace, service, others[0] === service ? first : undefined),
      rest: times > 1 ? '' : rest,
    }
  return { name: target, path: others.length > 0 ? paths.document(namespace, first, others.join('/')) : '', rest }
}
