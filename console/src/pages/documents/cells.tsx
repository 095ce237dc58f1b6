import { useMessages } from '@/app/i18n'
import { unknown } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { texts } from './messages'
import { inForce, waitingOf, type Listed } from './useDocuments'

/** How many instances run what they should. */
export function Running({ one: { document, applied } }: { one: Listed }) {
  const t = useMessages(texts)
  if (!inForce(document) || !applied) return <span className="g-secondary">{unknown}</span>
  const { instances, current, failed } = applied
  if (instances === 0) return <span className="g-secondary">{t.nobody}</span>
  if (failed + waitingOf(applied) === 0) return <StateTag state="success">{t.all(instances)}</StateTag>
  return <StateTag state={failed > 0 ? 'failed' : 'pending'}>{t.drift(current, instances, failed)}</StateTag>
}

/** Who changed it last; why is in its history. */
export function Author({ name }: { name: string }) {
  return (
    <span className={name ? undefined : 'g-secondary'} title={name}>
      {name || unknown}
    </span>
  )
}
