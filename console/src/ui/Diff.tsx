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
}

/** Two texts beside each other, on a phone one below the other; what is the same is folded. */
export function Diff(props: DiffProps) {
  const t = useMessages(texts).diff
  if (props.before === props.after) return <p className="g-secondary">{t.same}</p>
  return (
    <Suspense fallback={<Loading />}>
      <View {...props} beforeName={props.beforeName ?? t.before} afterName={props.afterName ?? t.after} />
    </Suspense>
  )
}
