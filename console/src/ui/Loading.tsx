import { Skeleton } from 'antd'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

/** Bones of what comes: rows of a table, a chart, or cards of figures. */
export function Loading({ shape = 'rows', count = 6 }: { shape?: 'rows' | 'chart' | 'cards'; count?: number }) {
  const t = useMessages(texts)
  return (
    <div role="status" aria-label={t.loading} className={`g-loading g-loading-${shape}`}>
      {Array.from({ length: shape === 'chart' ? 1 : count }, (_, i) => (
        <Skeleton.Node active key={i} />
      ))}
    </div>
  )
}
