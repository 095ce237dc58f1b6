import type { UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import { useNavigate } from 'react-router'
import { AlertState, type AlertRule, type ListAlertsResponse } from '@/api/gen/gantry/v1/alert_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { dateOf, duration } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'
import { stateWord } from './model'

/** How the evaluation of a rule goes. */
export function RuleHealth({ rule }: { rule: AlertRule }) {
  const t = useMessages(texts).rules
  if (rule.version === 0n) return <StateTag state="down">{t.gone}</StateTag>
  if (rule.failing) return <StateTag state="failed">{t.failing}</StateTag>
  if (rule.waiting) return <StateTag state="starting">{t.waiting}</StateTag>
  if (rule.missed > 0) return <StateTag state="degraded">{t.missed(rule.missed)}</StateTag>
  return <StateTag state="success">{t.ok}</StateTag>
}

const id = (rule: AlertRule) => `${rule.kind}/${rule.name}`
const going = (rule: AlertRule) =>
  rule.alerts.filter((alert) => alert.state === AlertState.FIRING || alert.state === AlertState.PENDING).length

export function RulesTab({ namespace, list }: { namespace: string; list: UseQueryResult<ListAlertsResponse> }) {
  const t = useMessages(texts).rules
  const navigate = useNavigate()
  const columns = useMemo<Column<AlertRule>[]>(
    () => [
      {
        key: 'state',
        title: t.state,
        width: 96,
        render: (rule) => <StateTag state={stateWord[rule.state]} />,
        compare: (a, b) => order(a.state) - order(b.state),
      },
      {
        key: 'kind',
        title: t.kind,
        width: 80,
        render: (rule) => rule.kind,
        compare: (a, b) => a.kind.localeCompare(b.kind),
      },
      {
        key: 'name',
        title: t.name,
        width: '1.4fr',
        render: (rule) => <PageLink to={paths.alert(namespace, rule.kind, rule.name)}>{rule.name}</PageLink>,
        compare: (a, b) => a.name.localeCompare(b.name),
      },
      {
        key: 'alerts',
        title: t.alerts,
        width: 72,
        align: 'right',
        render: (rule) => going(rule) || '',
        compare: (a, b) => going(a) - going(b),
      },
      {
        key: 'expression',
        title: t.expression,
        width: '2fr',
        render: (rule) => {
          const text = rule.expressions.join(' | ').replace(/\s+/g, ' ').trim()
          return <code title={text}>{text}</code>
        },
      },
      { key: 'every', title: t.every, width: 64, align: 'right', render: (rule) => duration(rule.every) },
      { key: 'hold', title: t.hold, width: 64, align: 'right', render: (rule) => duration(rule.hold) },
      {
        key: 'health',
        title: t.health,
        width: 128,
        render: (rule) => (
          <span title={rule.failing || rule.waiting}>
            <RuleHealth rule={rule} />
          </span>
        ),
      },
      { key: 'evaluated', title: t.evaluated, width: 104, render: (rule) => <Ago at={dateOf(rule.evaluatedAt)} /> },
      {
        key: 'document',
        title: t.document,
        width: 88,
        render: (rule) =>
          rule.version > 0n && (
            <PageLink to={paths.document(namespace, rule.kind, rule.name)}>v{rule.version.toString()}</PageLink>
          ),
      },
    ],
    [namespace, t],
  )
  return (
    <Panel title={t.list} className="g-panel-flush">
      <Answer query={list}>
        {(answer) => (
          <VirtualTable
            label={t.list}
            rows={answer.rules}
            columns={columns}
            rowKey={id}
            initialSort={{ key: 'state', descending: false }}
            onOpen={(rule) => void navigate(paths.alert(namespace, rule.kind, rule.name))}
            empty={<Empty title={t.none}>{t.noneText}</Empty>}
          />
        )}
      </Answer>
    </Panel>
  )
}

const order = (state: AlertState) =>
  [AlertState.FIRING, AlertState.PENDING, AlertState.RESOLVED].indexOf(state) + 1 || 9
