import { Health, Status, type Instance } from '@/api/gen/gantry/v1/instance_pb'
import type { Same } from '@/ui/commands'

/** What an operator can do to instances. */
export type Act = 'drain' | 'up' | 'down' | 'weight' | 'reset'

export const acts: readonly Act[] = ['drain', 'up', 'down', 'weight', 'reset']

/** The two halves of an override; the server replaces both at once. */
export interface Halves {
  status: Status
  weight?: number
}

type Known = Pick<Instance, 'status' | 'health' | 'override' | 'weight'>

export const halvesOf = (instance: Pick<Instance, 'override'>): Halves => ({
  status: instance.override?.status ?? Status.UNSPECIFIED,
  weight: instance.override?.weight,
})

/** The override after an act: it changes one half and keeps the other. */
export function after(instance: Pick<Instance, 'override'>, act: Act, weight: number): Halves {
  const before = halvesOf(instance)
  switch (act) {
    case 'drain':
      return { ...before, status: Status.DRAINING }
    case 'up':
      return { ...before, status: Status.UP }
    case 'down':
      return { ...before, status: Status.DOWN }
    case 'weight':
      return { ...before, weight }
    case 'reset':
      return { status: Status.UNSPECIFIED }
  }
}

/** The weight that holds: the operator's over the instance's own. */
export const weightOf = (instance: Pick<Instance, 'override' | 'weight'>): number =>
  instance.override?.weight ?? instance.weight ?? 1

export function takesTraffic(instance: Known, halves: Halves = halvesOf(instance)): boolean {
  const status = halves.status || instance.status
  return status === Status.UP && instance.health !== Health.UNHEALTHY && (halves.weight ?? instance.weight ?? 1) > 0
}

/** How many take traffic now, and how many would afterwards. */
export function effect(
  all: readonly (Known & Pick<Instance, 'id'>)[],
  chosen: ReadonlySet<string>,
  act: Act,
  weight: number,
): { before: number; after: number } {
  let before = 0
  let then = 0
  for (const instance of all) {
    if (takesTraffic(instance)) before++
    if (takesTraffic(instance, chosen.has(instance.id) ? after(instance, act, weight) : undefined)) then++
  }
  return { before, after: then }
}

/** Of those an act was done to, whom its undo sets back. Where another override was set meanwhile, by a later act or by somebody else, that one stays. */
export function undoOf<I extends Pick<Instance, 'id' | 'override'>>(
  done: readonly I[],
  now: readonly Pick<Instance, 'id' | 'override'>[],
  act: Act,
  weight: number,
): { back: I[]; left: I[] } {
  const present = new Map(now.map((instance) => [instance.id, instance]))
  const back: I[] = []
  const left: I[] = []
  for (const instance of done) {
    const made = after(instance, act, weight)
    const found = present.get(instance.id)
    const is = found && halvesOf(found)
    const untouched = is?.status === made.status && is.weight === made.weight
    ;(untouched ? back : left).push(instance)
  }
  return { back, left }
}

/** What is set beside the act itself. */
export interface Details {
  weight: number
  /** In seconds. */
  wait: number
  deregister: boolean
  why: string
}

/** What does an act to one instance by the command line and by the API. */
export function sameAs(
  { namespace, group, service }: { namespace: string; group: string; service: string },
  instance: Pick<Instance, 'id' | 'override'>,
  act: Act,
  { weight, wait, deregister, why }: Details,
): Same {
  const { id } = instance
  const target = { service: { namespace, group, service }, id, ...(why ? { message: why } : {}) }
  const set = after(instance, act, weight)
  return {
    command: [
      ...['instance', act, service, id, ...(act === 'weight' ? [String(weight)] : []), '-n', namespace],
      ...(group === 'default' ? [] : ['-g', group]),
      ...(act === 'drain' ? ['--wait', `${wait}s`] : []),
      act === 'drain' && deregister ? '--deregister' : '',
      ...(why ? ['--message', why] : []),
      // It is asked here already.
      act === 'down' ? '--yes' : '',
    ],
    call:
      act === 'drain'
        ? {
            method: 'gantry.v1.InstanceService/Drain',
            message: { ...target, wait: `${wait}s`, ...(deregister ? { deregister } : {}) },
          }
        : {
            method: 'gantry.v1.InstanceService/SetOverride',
            message: {
              ...target,
              ...(set.status === Status.UNSPECIFIED ? {} : { status: `STATUS_${Status[set.status]}` }),
              ...(set.weight === undefined ? {} : { weight: set.weight }),
            },
          },
  }
}
