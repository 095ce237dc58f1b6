import { lazy, Suspense } from 'react'
import { useMessages } from '@/app/i18n'
import { Loading } from './Loading'
import { texts } from './messages'

const View = lazy(() => import('./editor/DiffView'))

export interface DiffProps {
  before: string
  after: string
  /** yaml, json, or another word for plain text. */
  format: string
  /** What the two are, such as "version 3". */
  beforeName?: string
  afterName?: string
  /** Beside each other, or one below the other; by default what fits. */
  layout?: 'split' | 'unified'
}

/** Two texts beside each other, on a phone one text with what was taken out and put in; what is the same is folded. */
export function Diff(props: DiffProps) {
  const t = useMessages(texts).diff
  if (props.before === props.after) return <p className="g-secondary">{t.same}</p>
  return (
    <Suspense fallback={<Loading />}>
      <View {...props} beforeName={props.beforeName ?? t.before} afterName={props.afterName ?? t.after} />
    </Suspense>
  )
}
