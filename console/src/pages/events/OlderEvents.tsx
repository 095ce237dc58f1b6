import { Button } from 'antd'
import { useMessages } from '@/app/i18n'
import { Failure } from '@/ui/Failure'
import { Time } from '@/ui/Time'
import { texts } from './messages'

/** How far back the list is whole, and the way on. */
export function OlderEvents({
  count,
  downTo,
  hasOlder,
  loading,
  error,
  load,
}: {
  count: number
  /** Unset: it is whole. */
  downTo: Date | undefined
  hasOlder: boolean
  loading: boolean
  error: Error | null
  load: () => void
}) {
  const t = useMessages(texts)
  return (
    <div className="g-events-older">
      {error && <Failure error={error} retry={load} />}
      <span className="g-secondary g-grow" role="status">
        {loading ? (
          t.loadingOlder
        ) : downTo ? (
          <>
            {t.downTo} <Time at={downTo} milliseconds />, {hasOlder ? t.olderExist : t.enough(count)}
          </>
        ) : (
          t.all
        )}
      </span>
      {hasOlder && !error && (
        <Button onClick={load} loading={loading}>
          {t.older}
        </Button>
      )}
    </div>
  )
}
