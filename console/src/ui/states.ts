import { Health, Status, type Instance } from '@/api/gen/gantry/v1/instance_pb'

export type Tone = 'good' | 'warn' | 'bad' | 'muted' | 'busy'

export const states = {
  up: 'good',
  healthy: 'good',
  success: 'good',
  resolved: 'good',
  starting: 'busy',
  pending: 'warn',
  draining: 'warn',
  refused: 'warn',
  degraded: 'warn',
  down: 'muted',
  inactive: 'muted',
  empty: 'muted',
  unhealthy: 'bad',
  firing: 'bad',
  failed: 'bad',
  unavailable: 'bad',
} as const satisfies Record<string, Tone>

export type State = keyof typeof states

/** The one word for an instance: what it, or an operator for it, says; lost when health says so. */
export function stateOf(instance: Pick<Instance, 'status' | 'health' | 'override'>): State {
  const status = instance.override?.status || instance.status
  if (status === Status.DOWN) return 'down'
  if (instance.health === Health.UNHEALTHY) return 'unhealthy'
  if (status === Status.DRAINING) return 'draining'
  if (status === Status.STARTING) return 'starting'
  return 'up'
}
