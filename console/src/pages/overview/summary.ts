import type { Change } from '@/api/gen/gantry/v1/event_pb'
import type { Instance, Service } from '@/api/gen/gantry/v1/instance_pb'
import type { ServiceFigure } from '@/api/gen/gantry/v1/topology_pb'
import { dateOf } from '@/ui/format'
import { errorShare } from '@/ui/Figure'
import { stateOf, type State } from '@/ui/states'

/** Failing more than this share of its calls, a service needs a look. */
const failing = 0.01

export type ServiceState = Extract<State, 'healthy' | 'degraded' | 'unavailable' | 'empty'>

export function serviceState(service: Pick<Service, 'instances' | 'available'>): ServiceState {
  if (service.instances === 0) return 'empty'
  if (service.available === 0) return 'unavailable'
  return service.available < service.instances ? 'degraded' : 'healthy'
}

export function countServices(services: readonly Pick<Service, 'instances' | 'available'>[]) {
  const counts: Record<ServiceState, number> = { healthy: 0, degraded: 0, unavailable: 0, empty: 0 }
  for (const service of services) counts[serviceState(service)]++
  return counts
}

export function countInstances(instances: readonly Pick<Instance, 'status' | 'health' | 'override'>[]) {
  const counts = { up: 0, starting: 0, draining: 0, lost: 0, down: 0 }
  for (const instance of instances) {
    const state = stateOf(instance)
    if (state === 'unhealthy') counts.lost++
    else if (state === 'up' || state === 'starting' || state === 'draining' || state === 'down') counts[state]++
  }
  return counts
}

export interface Attention {
  service: Service
  state: ServiceState
  figure?: ServiceFigure
}

/** The services that somebody should look at: the worst first. */
export function attention(services: readonly Service[], figures: readonly ServiceFigure[]): Attention[] {
  const byName = new Map(figures.map((figure) => [figure.service, figure]))
  const weight: Record<ServiceState, number> = { unavailable: 3, degraded: 2, healthy: 1, empty: 0 }
  return services
    .map((service) => ({ service, state: serviceState(service), figure: byName.get(service.ref?.service ?? '') }))
    .filter(
      ({ state, figure }) =>
        state === 'unavailable' || state === 'degraded' || (errorShare(figure?.figures) ?? 0) > failing,
    )
    .sort(
      (a, b) =>
        weight[b.state] - weight[a.state] ||
        (errorShare(b.figure?.figures) ?? 0) - (errorShare(a.figure?.figures) ?? 0),
    )
}

export interface ChangeGroup {
  /** The newest. */
  first: Change
  /** How many say the same within a minute. */
  count: number
}

const minute = 60_000
const at = (change: Change) => dateOf(change.time)?.getTime() ?? 0
// Of instances the service is enough: that all of a service came is one thing to know.
const saying = (change: Change) =>
  [
    change.kind,
    change.service,
    change.kind.startsWith('instance.') ? '' : change.target,
    change.actor,
    change.message,
  ].join('\n')

/** Joins what says the same within a minute, so that forty registrations are one line. Changes are newest first. */
export function groupChanges(changes: readonly Change[]): ChangeGroup[] {
  const groups: ChangeGroup[] = []
  const open = new Map<string, ChangeGroup>()
  for (const change of changes) {
    const words = saying(change)
    const group = open.get(words)
    if (group && at(group.first) - at(change) <= minute) group.count++
    else {
      const begun = { first: change, count: 1 }
      open.set(words, begun)
      groups.push(begun)
    }
  }
  return groups
}
