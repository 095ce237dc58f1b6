import { Health, Status, type Instance } from '@/api/gen/gantry/v1/instance_pb'

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
