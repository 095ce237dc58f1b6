import { Tooltip } from 'antd'
import { useMessages } from '@/app/i18n'
import { StateTag } from '@/ui/StateTag'
import { texts } from './messages'
import { conditions, type ServiceRow } from './rows'

const sign = {
  healthy: 'healthy',
  degraded: 'degraded',
  unavailable: 'unavailable',
  empty: 'empty',
  signals: 'empty',
} as const

/** How many take traffic, and what the others do. */
export function HealthCell({ row }: { row: ServiceRow }) {
  const t = useMessages(texts)
  if (row.state === 'signals' || row.state === 'empty')
    return (
      <StateTag state="empty">
        <span title={row.state === 'signals' ? t.signalsText : undefined}>{t.states[row.state]}</span>
      </StateTag>
    )
  const others = conditions.filter((condition) => row.counts[condition] > 0)
  return (
    <span className="g-services-health">
      <StateTag state={sign[row.state]}>
        <span className="g-num" title={t.takeTraffic(row.available, row.instances)}>
          {row.available}/{row.instances}
          <span className="g-sr"> {t.states[row.state]}</span>
        </span>
      </StateTag>
      <span className="g-secondary g-cut">
        {others.map((condition, i) => (
          <span key={condition}>
            {i > 0 && ', '}
            {condition === 'protected' ? (
              <Tooltip title={t.protectedText}>
                <span className="g-danger">
                  {row.counts[condition]} {t.condition[condition]}
                </span>
              </Tooltip>
            ) : (
              <span className={condition === 'lost' ? 'g-danger' : undefined}>
                {row.counts[condition]} {t.condition[condition]}
              </span>
            )}
          </span>
        ))}
      </span>
    </span>
  )
}
