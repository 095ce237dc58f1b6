import { useQuery } from '@tanstack/react-query'
import { Tag } from 'antd'
import { AlertState, type Alert } from '@/api/gen/gantry/v1/alert_pb'
import { alerts } from '@/api/clients/alerts'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { texts } from './messages'

const most = 12

export function AlertsPanel({ namespace }: { namespace: string }) {
  const t = useMessages(texts)
  const list = useQuery({
    queryKey: key('alerts', namespace, 'now'),
    queryFn: ({ signal }) =>
      alerts.listAlerts({ namespace, states: [AlertState.FIRING, AlertState.PENDING] }, { signal }),
  })
  return (
    <Panel title={t.firing} className="g-panel-flush">
      <Answer query={list} count={3}>
        {(answer) => {
          const all = answer.rules.flatMap((rule) => rule.alerts.map((alert) => ({ rule, alert })))
          all.sort((a, b) => b.alert.state - a.alert.state || time(b.alert) - time(a.alert))
          const broken = answer.rules.filter((rule) => rule.failing).length
          return (
            <>
              {(broken > 0 || answer.failures.length > 0) && (
                <div className="g-overview-note">
                  {broken > 0 && <StateTag state="failed">{t.broken(broken)}</StateTag>}
                  {answer.failures.length > 0 && (
                    <StateTag state="failed">{t.undelivered(answer.failures.length)}</StateTag>
                  )}
                </div>
              )}
              {all.length === 0 ? (
                <Empty title={t.nothingFires}>{t.nothingFiresText(answer.rules.length)}</Empty>
              ) : (
                <ul className="g-overview-list">
                  {all.slice(0, most).map(({ rule, alert }) => (
                    <li key={alert.id}>
                      <StateTag state={alert.state === AlertState.FIRING ? 'firing' : 'pending'} />
                      <span className="g-grow g-break">
                        <PageLink to={paths.alerts(namespace)}>{rule.name}</PageLink>{' '}
                        <span className="g-secondary">{alert.annotations['summary'] ?? alert.labels['service']}</span>
                        {alert.silencedBy.length > 0 && <Tag>{t.silenced}</Tag>}
                      </span>
                      <span className="g-secondary">
                        <Ago at={dateOf(alert.firedAt ?? alert.activeAt)} />
                      </span>
                    </li>
                  ))}
                  {all.length > most && <li className="g-secondary">{t.more(all.length - most)}</li>}
                </ul>
              )}
            </>
          )
        }}
      </Answer>
    </Panel>
  )
}

const time = (alert: Alert) => dateOf(alert.firedAt ?? alert.activeAt)?.getTime() ?? 0
