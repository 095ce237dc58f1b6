import {
  CheckCircleFilled,
  ClockCircleFilled,
  CloseCircleFilled,
  ExclamationCircleFilled,
  MinusCircleFilled,
  SwapOutlined,
} from '@ant-design/icons'
import type { ReactNode } from 'react'
import { Health, Status, type Instance } from '@/api/gen/gantry/v1/instance_pb'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

// States are said by a word, a sign and a colour, so that none of them alone has to be seen.

type Tone = 'good' | 'warn' | 'bad' | 'muted' | 'busy'

const states = {
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

const signs: Record<Tone, ReactNode> = {
  good: <CheckCircleFilled />,
  warn: <ExclamationCircleFilled />,
  bad: <CloseCircleFilled />,
  muted: <MinusCircleFilled />,
  busy: <ClockCircleFilled />,
}

export function StateTag({ state, children }: { state: State; children?: ReactNode }) {
  const t = useMessages(texts).state
  return (
    <span className={`g-state g-state-${states[state]}`}>
      <span aria-hidden>{state === 'draining' ? <SwapOutlined /> : signs[states[state]]}</span>
      {children ?? t[state]}
    </span>
  )
}

/** The one word for an instance: what it, or an operator for it, says; lost when health says so. */
export function stateOf(instance: Pick<Instance, 'status' | 'health' | 'override'>): State {
  const status = instance.override?.status || instance.status
  if (status === Status.DOWN) return 'down'
  if (instance.health === Health.UNHEALTHY) return 'unhealthy'
  if (status === Status.DRAINING) return 'draining'
  if (status === Status.STARTING) return 'starting'
  return 'up'
}
