import { BellOutlined } from '@ant-design/icons'
import { Button, Tag, Tooltip } from 'antd'
import { useState } from 'react'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import type { AlertChange } from '@/api/gen/gantry/v1/alert_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { useSession } from '@/app/session'
import { count, dateOf, seconds } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { Ago, Time } from '@/ui/Time'
import { texts } from './messages'
import { joinChanges, ownLabels, serviceOf, since, stateWord, subjectOf, type Firing } from './model'
import { Severity } from './Severity'

const firstChanges = 3

/** One alert: how it is, about what, since when, what was changed before it, and what to do. */
export function AlertRow({
  namespace,
  one: { rule, alert },
  named,
  silence,
}: {
  namespace: string
  one: Firing
  /** Whether its rule is named in the row: not where the group has its name. */
  named: boolean
  silence: () => void
}) {
  const t = useMessages(texts)
  const may = useSession().can(Role.RELEASER, namespace)
  const began = since(alert)
  return (
    <li className="g-alerts-row">
      <div className="g-alerts-state">
        <StateTag state={stateWord[alert.state]} />
        <Severity of={alert.labels['severity']} />
      </div>
      <div className="g-alerts-what">
        <div className="g-break">
          {named && (
            <>
              <PageLink to={paths.alert(namespace, rule.kind, rule.name)}>
                <strong>{rule.name}</strong>
              </PageLink>{' '}
            </>
          )}
          {alert.annotations['summary'] ?? alert.annotations['description']}
        </div>
        <div className="g-alerts-tags">
          {ownLabels(alert.labels).map(([name, value]) => (
            <Label key={name} namespace={namespace} name={name} value={value} />
          ))}
          {alert.silencedBy.length > 0 && (
            <Tooltip title={t.silencedBy(alert.silencedBy.join(', '))}>
              <Tag icon={<BellOutlined />}>{t.silenced}</Tag>
            </Tooltip>
          )}
          {alert.inhibitedBy.length > 0 && <Tag>{t.inhibitedBy(alert.inhibitedBy.join(', '))}</Tag>}
          {alert.receivers.length === 0 ? (
            <Tooltip title={t.noRouteWhy}>
              <Tag color="warning" tabIndex={0}>
                {t.noRoute}
              </Tag>
            </Tooltip>
          ) : (
            <span className="g-secondary">{t.told(alert.receivers.join(', '))}</span>
          )}
        </div>
        <Changes namespace={namespace} changes={alert.changes} began={dateOf(alert.activeAt) ?? began} />
      </div>
      <div className="g-alerts-value">
        <span className="g-num" title={t.value}>
          {count(Number(alert.value.toPrecision(4)))}
        </span>
        {alert.expected !== undefined && (
          <span className="g-secondary g-num">{t.expected(count(Number(alert.expected.toPrecision(4))))}</span>
        )}
        <span className="g-secondary">
          <Ago at={began} />
        </span>
      </div>
      <div className="g-alerts-do">
        <Tooltip title={may ? undefined : t.mayNot}>
          <Button
            size="small"
            disabled={!may}
            aria-label={t.silenceThis(nameOf(rule.name, alert.labels))}
            onClick={silence}
          >
            {t.silence}
          </Button>
        </Tooltip>
        <Elsewhere namespace={namespace} labels={alert.labels} at={began} />
      </div>
    </li>
  )
}

const nameOf = (rule: string, labels: Readonly<Record<string, string>>) =>
  [rule, serviceOf(labels)].filter(Boolean).join(' ')

export function Label({ namespace, name, value }: { namespace: string; name: string; value: string }) {
  const of = name === 'service' || name === 'caller' || name === 'callee'
  return (
    <span className="g-alerts-tag">
      <span className="g-secondary">{name}=</span>
      {of ? <PageLink to={paths.service(namespace, value)}>{value}</PageLink> : value}
    </span>
  )
}

/** A quarter of an hour before, and what came after. */
export const around = (at: Date) => ({
  from: new Date(at.getTime() - 15 * 60_000).toISOString(),
  to: new Date(Math.min(Date.now(), at.getTime() + 45 * 60_000)).toISOString(),
})

function Elsewhere({
  namespace,
  labels,
  at,
}: {
  namespace: string
  labels: Readonly<Record<string, string>>
  at: Date | undefined
}) {
  const t = useMessages(texts)
  const service = serviceOf(labels)
  if (!service || !at) return null
  return (
    <span className="g-alerts-links">
      <PageLink to={withQuery(paths.traces(namespace), { service, outcome: 'failed', ...around(at) })}>
        {t.traces}
      </PageLink>
      <PageLink to={withQuery(paths.map(namespace), { focus: service, at: at.toISOString() })}>{t.mapThen}</PageLink>
    </span>
  )
}

/** What was changed in the minutes before: often the cause, so it is in sight and not behind a click. */
function Changes({
  namespace,
  changes,
  began,
}: {
  namespace: string
  changes: readonly AlertChange[]
  began: Date | undefined
}) {
  const t = useMessages(texts)
  const [all, setAll] = useState(false)
  if (changes.length === 0) return null
  const joined = joinChanges(changes)
  const shown = all ? joined : joined.slice(0, firstChanges)
  return (
    <ul className="g-alerts-changes" aria-label={t.changes(changes.length)}>
      {shown.map(({ change, times }, i) => {
        const at = dateOf(change.at)
        return (
          <li key={i}>
            <span className="g-secondary g-alerts-when">
              {at && began && at <= began ? (
                t.before(seconds(Math.round((began.getTime() - at.getTime()) / 1000)))
              ) : (
                <Time at={at} />
              )}
            </span>
            <span className="g-break">
              <span className="g-alerts-kind">{change.kind}</span>{' '}
              <What namespace={namespace} change={change} times={times} />{' '}
              {change.actor && <span className="g-secondary">{change.actor}</span>}
              {times > 1 && <strong> ×{times}</strong>}
            </span>
          </li>
        )
      })}
      {joined.length > shown.length && (
        <li>
          <Button type="link" size="small" onClick={() => setAll(true)}>
            {t.moreChanges(joined.length - shown.length)}
          </Button>
        </li>
      )}
    </ul>
  )
}

/** What was changed, as a link to it, and how. */
function What({ namespace, change, times }: { namespace: string; change: AlertChange; times: number }) {
  const { name, path, rest } = subjectOf(namespace, change, times)
  return (
    <>
      {path ? <PageLink to={path}>{name}</PageLink> : name} {rest}
    </>
  )
}
