import {
  CheckCircleFilled,
  ClockCircleFilled,
  CloseCircleFilled,
  ExclamationCircleFilled,
  MinusCircleFilled,
  SwapOutlined,
} from '@ant-design/icons'
import type { ReactNode } from 'react'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'
import { states, type State, type Tone } from './states'

const signs: Record<Tone, ReactNode> = {
  good: <CheckCircleFilled />,
  warn: <ExclamationCircleFilled />,
  bad: <CloseCircleFilled />,
  muted: <MinusCircleFilled />,
  busy: <ClockCircleFilled />,
}

/** A state by a word, a sign and a colour, so that none of them alone has to be seen. */
export function StateTag({ state, children }: { state: State; children?: ReactNode }) {
  const t = useMessages(texts).state
  return (
    <span className={`g-state g-state-${states[state]}`}>
      <span aria-hidden>{state === 'draining' ? <SwapOutlined /> : signs[states[state]]}</span>
      {children ?? t[state]}
    </span>
  )
}
