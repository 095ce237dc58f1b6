import { useQuery } from '@tanstack/react-query'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { Button, Input } from 'antd'
import { useState } from 'react'
import { traces } from '@/api/clients/traces'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { traceId } from '@/app/matching'
import { Answer } from '@/ui/Answer'
import { dateOf, duration } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { Time } from '@/ui/Time'
import type { Trace } from '../trace/model'
import { lengthOf } from '../traces/summary'
import { choices } from './compare'
import { texts } from './messages'

const hour = 3600_000

/** Chooses one side: by its id, or from traces that begin like the other side. */
export function Picker({
  namespace,
  side,
  other,
  otherId,
  choose,
}: {
  namespace: string
  side: 'left' | 'right'
  other: Trace | undefined
  otherId: string
  choose: (id: string) => void
}) {
  const t = useMessages(texts)
  const [typed, setTyped] = useState('')
  const id = traceId(typed)
  const wrong = typed.trim() !== '' && !id
  return (
    <div className="g-compare-picker">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (id) choose(id)
        }}
      >
        <Input
          value={typed}
          maxLength={64}
          className="g-mono"
          placeholder={t.idPlaceholder}
          aria-label={t.idLabel[side]}
          aria-invalid={wrong}
          status={wrong ? 'error' : undefined}
          title={wrong ? t.idBad : undefined}
          onChange={(event) => setTyped(event.target.value)}
        />
        <Button htmlType="submit" type="primary" disabled={!id}>
          {t.choose}
        </Button>
      </form>
      {other?.root ? (
        <Similar namespace={namespace} other={other} otherId={otherId} choose={choose} />
      ) : (
        <p className="g-secondary">{t.pickHint}</p>
      )}
    </div>
  )
}

function Similar({
  namespace,
  other,
  otherId,
  choose,
}: {
  namespace: string
  other: Trace
  otherId: string
  choose: (id: string) => void
}) {
  const t = useMessages(texts)
  const { service, name } = other.root!.span
  const around = Math.floor(other.epoch)
  const found = useQuery({
    queryKey: key('traces', namespace, 'similar', service, name, around),
    queryFn: ({ signal }) =>
      traces.searchTraces(
        {
          ...{ namespace, service, endpoint: name, limit: 500 },
          within: { since: timestampFromMs(around - hour), until: timestampFromMs(around + hour) },
        },
        { signal },
      ),
    staleTime: 60_000,
  })
  return (
    <Answer query={found} count={4}>
      {(answer) => {
        const alike = answer.traces.filter(
          (trace) => trace.traceId !== otherId && trace.rootService === service && trace.rootName === name,
        )
        if (alike.length === 0) return <p className="g-secondary">{t.noSimilar}</p>
        return (
          <>
            <p className="g-secondary">{t.similar}</p>
            <ul className="g-compare-similar">
              {choices(alike, lengthOf).map((trace) => (
                <li key={trace.traceId}>
                  <button type="button" onClick={() => choose(trace.traceId)}>
                    <strong className="g-num">{duration(trace.duration)}</strong>
                    <Time at={dateOf(trace.start)} />
                    <StateTag state={trace.failed > 0 ? 'failed' : 'success'} />
                  </button>
                </li>
              ))}
            </ul>
          </>
        )
      }}
    </Answer>
  )
}
