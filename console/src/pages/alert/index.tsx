import { Button, Tooltip } from 'antd'
import { useState } from 'react'
import { useParams } from 'react-router'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { AlertState, type AlertRule } from '@/api/gen/gantry/v1/alert_pb'
import { queryPath } from '@/api/prometheus'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { useSession } from '@/app/session'
import { AlertRow } from '@/pages/alerts/AlertRow'
import { History } from '@/pages/alerts/History'
import { exactly } from '@/pages/alerts/matchers'
import { stateWord } from '@/pages/alerts/model'
import { useAlertRules } from '@/pages/alerts/queries'
import { RuleHealth } from '@/pages/alerts/RulesTab'
import { Severity } from '@/pages/alerts/Severity'
import { matchersFor, SilenceDialog } from '@/pages/alerts/SilenceDialog'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { Figure } from '@/ui/Figure'
import { dateOf, duration } from '@/ui/format'
import { Page, Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { stepOf, useTimeRange } from '@/ui/timeRange'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { Course } from './Course'
import { texts } from './messages'
import { Preview } from './Preview'
import './alert.css'

/** One rule: how it is, the course of its series, its alerts, and what happened. */
export default function AlertPage() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const { kind = '', name = '' } = useParams()
  const range = useTimeRange({ from: '-6h', to: 'now' })
  const list = useAlertRules(namespace)
  const may = useSession().can(Role.RELEASER, namespace)
  const [matchers, setMatchers] = useState<string[]>()
  const rule = list.data?.rules.find((one) => one.kind === kind && one.name === name)
  const expression = rule?.expressions[0]
  return (
    <Page
      title={name}
      tag={rule && <StateTag state={stateWord[rule.state]} />}
      crumbs={[{ title: t.alerts, to: paths.alerts(namespace) }]}
      views="alert"
      actions={
        <>
          <TimeRangePicker range={range} />
          {rule && (
            <Tooltip title={may ? undefined : t.mayNot}>
              <Button disabled={!may} onClick={() => setMatchers([exactly('alertname', name)])}>
                {t.silence}
              </Button>
            </Tooltip>
          )}
        </>
      }
      same={{
        command: ['alert', 'history', name, '-n', namespace],
        call: expression
          ? { path: queryPath(namespace, 'query_range'), query: rangeQuery(expression.trim(), range.span()) }
          : { method: 'gantry.v1.AlertService/ListAlertHistory', message: { namespace, kind, name } },
      }}
    >
      <Answer query={list} shape="cards" count={4}>
        {(answer) =>
          rule ? (
            <>
              <Cards namespace={namespace} rule={rule} />
              {(rule.failing || rule.waiting) && (
                <div className="g-panel g-alert-health">
                  <RuleHealth rule={rule} /> <span className="g-break">{rule.failing || rule.waiting}</span>{' '}
                  {rule.failing && <Ago at={dateOf(rule.failingSince)} />}
                </div>
              )}
              {rule.expressions.slice(0, 6).map((one) => (
                <Course key={one} namespace={namespace} rule={rule} expression={one} range={range} />
              ))}
              <Now namespace={namespace} rule={rule} silence={setMatchers} />
              <History namespace={namespace} range={range} kind={kind} name={name} rules={[rule]} />
              <Preview namespace={namespace} kind={kind} name={name} range={range} />
              {matchers && (
                <SilenceDialog
                  namespace={namespace}
                  rules={answer.rules}
                  subject={name}
                  matchers={matchers}
                  close={() => setMatchers(undefined)}
                />
              )}
            </>
          ) : (
            <>
              <Panel title={t.rule}>
                <Empty title={t.unknown}>
                  {t.unknownText(kind, name)}{' '}
                  <PageLink to={paths.document(namespace, kind, name)}>{t.document}</PageLink>
                </Empty>
              </Panel>
              <History namespace={namespace} range={range} kind={kind} name={name} />
            </>
          )
        }
      </Answer>
    </Page>
  )
}

function rangeQuery(query: string, span: { since: Date; until: Date }) {
  return { query, start: span.since.toISOString(), end: span.until.toISOString(), step: String(stepOf(span)) }
}

function Cards({ namespace, rule }: { namespace: string; rule: AlertRule }) {
  const t = useMessages(texts)
  const counted = (state: AlertState) => rule.alerts.filter((alert) => alert.state === state).length
  const firing = counted(AlertState.FIRING)
  const severities = [...new Set(rule.alerts.map((alert) => alert.labels['severity']))]
  const hold = rule.hold && (rule.hold.seconds > 0n || rule.hold.nanos > 0)
  return (
    <div className="g-cards">
      <Figure
        label={t.alertsNow}
        value={firing + counted(AlertState.PENDING)}
        tone={firing > 0 ? 'bad' : undefined}
        detail={
          <span className="g-alert-severities">
            {t.firing(firing, counted(AlertState.PENDING))}
            {severities.map((severity) => (
              <Severity key={severity} of={severity} />
            ))}
          </span>
        }
      />
      <Figure
        label={t.evaluation}
        value={t.every(duration(rule.every))}
        detail={hold ? t.hold(duration(rule.hold)) : t.holdNone}
      />
      <Figure
        label={t.evaluated}
        value={<Ago at={dateOf(rule.evaluatedAt)} />}
        detail={
          <>
            {rule.evaluationTime && `${t.took(duration(rule.evaluationTime))} `}
            {rule.node && t.node(rule.node)} <RuleHealth rule={rule} />
          </>
        }
      />
      <Figure
        label={rule.kind}
        value={<PageLink to={paths.document(namespace, rule.kind, rule.name)}>{t.document}</PageLink>}
        detail={t.version(rule.version.toString())}
      />
    </div>
  )
}

function Now({
  namespace,
  rule,
  silence,
}: {
  namespace: string
  rule: AlertRule
  silence: (matchers: string[]) => void
}) {
  const t = useMessages(texts)
  const alerts = [...rule.alerts].sort((a, b) => order(a.state) - order(b.state))
  return (
    <Panel title={t.alertsNow} className="g-panel-flush">
      {alerts.length === 0 ? (
        <p className="g-secondary g-alert-quiet">{t.quiet}</p>
      ) : (
        <ul className="g-alert-now">
          {alerts.map((alert) => (
            <AlertRow
              key={alert.id}
              namespace={namespace}
              one={{ rule, alert }}
              named={false}
              silence={() => silence(matchersFor(alert.labels))}
            />
          ))}
        </ul>
      )}
    </Panel>
  )
}

const order = (state: AlertState) => [AlertState.FIRING, AlertState.PENDING].indexOf(state) + 1 || 9
