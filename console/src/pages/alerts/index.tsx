import { Tabs } from 'antd'
import { useState, type ReactNode } from 'react'
import { useSearchParams } from 'react-router'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { Page } from '@/ui/Page'
import type { Same } from '@/ui/commands'
import { HistoryTab } from './HistoryTab'
import { texts } from './messages'
import { NowTab } from './NowTab'
import { useAlertRules } from './queries'
import { ReceiversTab } from './ReceiversTab'
import { RulesTab } from './RulesTab'
import { matchersFor, SilenceDialog } from './SilenceDialog'
import { SilencesTab } from './SilencesTab'
import './alerts.css'

const tabs = ['now', 'history', 'rules', 'silences', 'receivers'] as const
type Tab = (typeof tabs)[number]

/** What a silence is made from: an alert, or nothing. */
interface Subject {
  rule: string
  matchers: string[]
}

/** What fires, what did, what would, and who hears of it. */
export default function Alerts() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const [search, setSearch] = useSearchParams()
  const tab = tabs.find((known) => known === search.get('tab')) ?? 'now'
  const list = useAlertRules(namespace)
  const [subject, setSubject] = useState<Subject>()
  const panes: Record<Tab, ReactNode> = {
    now: (
      <NowTab
        namespace={namespace}
        list={list}
        silence={({ rule, alert }) => setSubject({ rule: rule.name, matchers: matchersFor(alert.labels) })}
      />
    ),
    history: <HistoryTab namespace={namespace} rules={list.data?.rules} />,
    rules: <RulesTab namespace={namespace} list={list} />,
    silences: (
      <SilencesTab
        namespace={namespace}
        rules={list.data?.rules ?? []}
        make={() => setSubject({ rule: '', matchers: [] })}
      />
    ),
    receivers: <ReceiversTab namespace={namespace} failures={list.data?.failures ?? []} />,
  }
  return (
    <Page title={t.title} views="alerts" same={sameOf(tab, namespace, search)}>
      <Tabs
        className="g-tabs"
        activeKey={tab}
        onChange={(next) => setSearch(next === 'now' ? {} : { tab: next })}
        items={tabs.map((name) => ({
          key: name,
          label: t.tabs[name],
          children: name === tab && <div className="g-alerts-pane">{panes[name]}</div>,
        }))}
      />
      {subject && (
        <SilenceDialog
          namespace={namespace}
          rules={list.data?.rules ?? []}
          subject={subject.rule}
          matchers={subject.matchers}
          close={() => setSubject(undefined)}
        />
      )}
    </Page>
  )
}

function sameOf(tab: Tab, namespace: string, search: URLSearchParams): Same {
  const ns = ['-n', namespace]
  const from = search.get('from') ?? '-24h'
  switch (tab) {
    case 'now':
      return {
        command: ['alert', 'list', ...ns, ...(search.get('state') ? ['--state', search.get('state')!] : [])],
        call: { method: 'gantry.v1.AlertService/ListAlerts', message: { namespace } },
      }
    case 'history':
      return {
        command: ['alert', 'history', ...ns, '--since', from.replace(/^-/, '')],
        call: { method: 'gantry.v1.AlertService/ListAlertHistory', message: { namespace } },
      }
    case 'rules':
      return {
        command: ['alert', 'list', ...ns, '--rules'],
        call: { method: 'gantry.v1.AlertService/ListAlerts', message: { namespace } },
      }
    default: {
      const kind = tab === 'silences' ? 'Silence' : 'Receiver'
      return {
        command: ['list', ...ns, '--kind', kind],
        call: { method: 'gantry.v1.ReleaseService/List', message: { namespace, kind } },
      }
    }
  }
}
