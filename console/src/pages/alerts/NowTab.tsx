import { SearchOutlined } from '@ant-design/icons'
import type { UseQueryResult } from '@tanstack/react-query'
import { Button, Input, Select } from 'antd'
import { useMemo, useState } from 'react'
import { useSearchParams } from 'react-router'
import type { ListAlertsResponse } from '@/api/gen/gantry/v1/alert_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { clear } from '@/ui/clear'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { texts as shared } from '@/ui/messages'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { AlertRow } from './AlertRow'
import { texts } from './messages'
import { countStates, filterAlerts, groupAlerts, severities, type Firing, type Group, type Grouping } from './model'
import { Severity } from './Severity'

const groupings: readonly Grouping[] = ['rule', 'service', 'severity']
const firstOfGroup = 12

export function NowTab({
  namespace,
  list,
  silence,
}: {
  namespace: string
  list: UseQueryResult<ListAlertsResponse>
  silence: (one: Firing) => void
}) {
  const t = useMessages(texts)
  const states = useMessages(shared).state
  const [search, setSearch] = useSearchParams()
  const grouping = groupings.find((known) => known === search.get('group')) ?? 'rule'
  const filter = {
    state: search.get('state') ?? '',
    severity: search.get('severity') ?? '',
    text: search.get('q') ?? '',
  }
  const set = (name: string, value: string) =>
    setSearch(
      (old) => {
        const next = new URLSearchParams(old)
        if (value) next.set(name, value)
        else next.delete(name)
        return next
      },
      { replace: name === 'q' },
    )
  const rules = list.data?.rules
  const { state, severity, text } = filter
  const groups = useMemo(
    () => groupAlerts(filterAlerts(rules ?? [], { state, severity, text }), grouping),
    [rules, state, severity, text, grouping],
  )
  return (
    <>
      <div className="g-toolbar">
        <Input
          className="g-alerts-search"
          prefix={<SearchOutlined />}
          allowClear={clear}
          aria-label={t.search}
          placeholder={t.searchHint}
          value={filter.text}
          onChange={(event) => set('q', event.target.value)}
        />
        <Select
          aria-label={t.stateFilter}
          value={filter.state}
          onChange={(value) => set('state', value)}
          popupMatchSelectWidth={false}
          options={[
            { value: '', label: t.goingOn },
            ...(['firing', 'pending', 'resolved'] as const).map((value) => ({ value, label: states[value] })),
          ]}
        />
        <Select
          aria-label={t.severityFilter}
          value={filter.severity}
          onChange={(value) => set('severity', value)}
          popupMatchSelectWidth={false}
          options={[
            { value: '', label: t.anySeverity },
            ...severities.map((value) => ({ value, label: t.severity[value] })),
          ]}
        />
        <Select
          aria-label={t.groupBy}
          value={grouping}
          onChange={(value) => set('group', value === 'rule' ? '' : value)}
          popupMatchSelectWidth={false}
          options={groupings.map((value) => ({ value, label: t.grouping[value] }))}
        />
        {list.data && <Counts of={list.data} />}
      </div>
      <Answer query={list}>
        {(answer) => (
          <>
            <Troubles namespace={namespace} of={answer} />
            {groups.length === 0 && (
              <Panel title={t.tabs.now}>
                {text || state || severity ? (
                  <Empty title={t.noMatch}>{t.noMatchText}</Empty>
                ) : (
                  <Empty title={t.nothing}>{t.nothingText(answer.rules.length)}</Empty>
                )}
              </Panel>
            )}
            {groups.map((group) => (
              <GroupPanel key={group.name} namespace={namespace} group={group} grouping={grouping} silence={silence} />
            ))}
          </>
        )}
      </Answer>
    </>
  )
}

function Counts({ of }: { of: ListAlertsResponse }) {
  const t = useMessages(texts)
  const counts = countStates(of.rules)
  return (
    <span className="g-alerts-counts">
      {counts.firing > 0 && <StateTag state="firing">{t.firingCount(counts.firing)}</StateTag>}
      {counts.pending > 0 && <StateTag state="pending">{t.pendingCount(counts.pending)}</StateTag>}
      {counts.silenced > 0 && <StateTag state="inactive">{t.silencedCount(counts.silenced)}</StateTag>}
      {counts.failing > 0 && <StateTag state="failed">{t.brokenCount(counts.failing)}</StateTag>}
    </span>
  )
}

/** What keeps alerts from doing their work: rules that cannot be evaluated, and people who could not be told. */
function Troubles({ namespace, of }: { namespace: string; of: ListAlertsResponse }) {
  const t = useMessages(texts)
  const failing = of.rules.filter((rule) => rule.failing)
  if (failing.length === 0 && of.failures.length === 0) return null
  return (
    <ul className="g-panel g-alerts-troubles">
      {failing.map((rule) => (
        <li key={`${rule.kind}/${rule.name}`}>
          <StateTag state="failed">
            <PageLink to={paths.alert(namespace, rule.kind, rule.name)}>{t.failing(rule.name)}</PageLink>
          </StateTag>
          <span className="g-grow g-break">{rule.failing}</span>
          <span className="g-secondary">
            <Ago at={dateOf(rule.failingSince)} />
          </span>
        </li>
      ))}
      {of.failures.map((failure) => (
        <li key={`${failure.receiver} ${failure.channel} ${failure.group}`}>
          <StateTag state="failed">{t.undelivered(failure.receiver, failure.channel)}</StateTag>
          <span className="g-grow g-break">{failure.error}</span>
          <span className="g-secondary">
            <Ago at={dateOf(failure.at)} />
          </span>
        </li>
      ))}
    </ul>
  )
}

function GroupPanel({
  namespace,
  group,
  grouping,
  silence,
}: {
  namespace: string
  group: Group
  grouping: Grouping
  silence: (one: Firing) => void
}) {
  const t = useMessages(texts)
  const [all, setAll] = useState(false)
  const shown = all ? group.alerts : group.alerts.slice(0, firstOfGroup)
  const rule = group.alerts[0]!.rule
  return (
    <section className="g-panel" aria-label={group.name || t.noGroup}>
      <div className="g-panel-head">
        <h2 className="g-break">
          {grouping === 'rule' && <PageLink to={paths.alert(namespace, rule.kind, rule.name)}>{group.name}</PageLink>}
          {grouping === 'service' &&
            (group.name ? (
              <PageLink to={paths.service(namespace, group.name)}>{group.name}</PageLink>
            ) : (
              <span className="g-secondary">{t.noGroup}</span>
            ))}
          {grouping === 'severity' && (group.name ? <Severity of={group.name} /> : t.severity.none)}
        </h2>
        <span className="g-secondary">{t.count(group.alerts.length)}</span>
      </div>
      <ul>
        {shown.map((one) => (
          <AlertRow
            key={`${one.rule.kind}/${one.rule.name}/${one.alert.id}`}
            namespace={namespace}
            one={one}
            named={grouping !== 'rule'}
            silence={() => silence(one)}
          />
        ))}
      </ul>
      {shown.length < group.alerts.length && (
        <Button type="link" onClick={() => setAll(true)}>
          {t.showAll(group.alerts.length - shown.length)}
        </Button>
      )}
    </section>
  )
}
