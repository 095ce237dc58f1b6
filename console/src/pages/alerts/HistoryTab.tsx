import { Select } from 'antd'
import { useSearchParams } from 'react-router'
import type { AlertRule } from '@/api/gen/gantry/v1/alert_pb'
import { useMessages } from '@/app/i18n'
import { useTimeRange } from '@/ui/timeRange'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { History } from './History'
import { texts } from './messages'

const kinds = ['Alert', 'Objective', 'Receiver']

export function HistoryTab({ namespace, rules }: { namespace: string; rules: readonly AlertRule[] | undefined }) {
  const t = useMessages(texts).history
  const range = useTimeRange({ from: '-24h', to: 'now' })
  const [search, setSearch] = useSearchParams()
  const kind = kinds.find((known) => known === search.get('kind')) ?? ''
  return (
    <>
      <div className="g-toolbar">
        <TimeRangePicker range={range} />
        <Select
          aria-label={t.kind}
          value={kind}
          popupMatchSelectWidth={false}
          options={[{ value: '', label: t.anyKind }, ...kinds.map((value) => ({ value, label: value }))]}
          onChange={(value) =>
            setSearch((old) => {
              const next = new URLSearchParams(old)
              if (value) next.set('kind', value)
              else next.delete('kind')
              return next
            })
          }
        />
      </div>
      <History
        namespace={namespace}
        range={range}
        kind={kind}
        rules={rules?.filter((rule) => !kind || rule.kind === kind)}
      />
    </>
  )
}
