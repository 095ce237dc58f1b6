import { Button, Tabs, Tag, Tooltip } from 'antd'
import { useCallback } from 'react'
import { useSearchParams } from 'react-router'
import { useMessages } from '@/app/i18n'
import { isPage, PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { stateOfService } from '@/pages/services/rows'
import { Answer } from '@/ui/Answer'
import type { Same } from '@/ui/commands'
import { Page, Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { timeFlags, useTimeRange, type UsedTimeRange } from '@/ui/timeRange'
import { useChanges } from './changes'
import { ChangesTable } from './ChangesTable'
import { ConfigurationTab } from './ConfigurationTab'
import { targetOf, useDocumentsOf } from './documents'
import { EdgesPanels } from './EdgesPanels'
import { EndpointsTab } from './EndpointsTab'
import { InstancesTab } from './InstancesTab'
import { texts } from './messages'
import { useRed } from './red'
import { RedPanels } from './RedPanels'
import { SettingsTab } from './SettingsTab'
import { SubscribersPanel } from './SubscribersPanel'
import { useServiceName, useSummary, type ServiceName } from './useService'
import './service.css'

const tabs = ['overview', 'instances', 'endpoints', 'configuration', 'changes', 'settings'] as const
type Tab = (typeof tabs)[number]

/** One service: what it does, who runs it, with which configuration, and what was changed. */
export default function Service() {
  const of = useServiceName()
  // Another service is another page: nothing that was marked or typed goes along.
  return <ServicePage key={`${of.namespace}/${of.group}/${of.service}`} of={of} />
}

function ServicePage({ of }: { of: ServiceName }) {
  const t = useMessages(texts)
  const { namespace, service, group } = of
  const [search, setSearch] = useSearchParams()
  const range = useTimeRange()
  const given = search.get('tab') ?? ''
  const tab = tabs.find((name) => name === given) ?? 'overview'
  const open = useCallback(
    (name: string) =>
      setSearch((old) => {
        const changed = new URLSearchParams()
        // Filters are of one tab; group and time are of all.
        for (const kept of ['group', 'from', 'to']) {
          const value = old.get(kept)
          if (value) changed.set(kept, value)
        }
        if (name !== 'overview') changed.set('tab', name)
        return changed
      }),
    [setSearch],
  )
  const timed = tab === 'overview' || tab === 'endpoints' || tab === 'changes'
  return (
    <Page
      title={service}
      crumbs={[{ title: t.services, to: paths.services(namespace) }, { title: service }]}
      tag={<Health of={of} />}
      views="service"
      same={() => sameAs(of, tab, range, search.get('order'))}
      actions={
        <>
          {timed && <TimeRangePicker range={range} />}
          {isPage(paths.traces(namespace)) && (
            <PageLink to={withQuery(paths.traces(namespace), { service, from: range.from, to: range.to })}>
              <Button>{t.traces}</Button>
            </PageLink>
          )}
          {isPage(paths.errors(namespace)) && (
            <PageLink to={withQuery(paths.errors(namespace), { service })}>
              <Button>{t.errorsPage}</Button>
            </PageLink>
          )}
        </>
      }
    >
      <Tabs
        activeKey={tab}
        onChange={open}
        className="g-service-tabs"
        items={tabs.map((name) => ({ key: name, label: t.tabs[name] }))}
      />
      <TabBody of={{ namespace, service, group }} tab={tab} range={range} open={open} />
    </Page>
  )
}

function Health({ of }: { of: ServiceName }) {
  const t = useMessages(texts)
  const summary = useSummary(of).data
  if (summary === undefined) return null
  if (summary === null) return <StateTag state="empty">{t.notRegistered}</StateTag>
  return (
    <>
      {summary.ref?.group && summary.ref.group !== 'default' && <Tag>{summary.ref.group}</Tag>}
      <Tooltip title={t.subscribers(summary.subscribers)}>
        <span>
          <StateTag state={stateOfService(summary)}>
            {summary.instances > 0 ? t.takeTraffic(summary.available, summary.instances) : undefined}
          </StateTag>
        </span>
      </Tooltip>
      {summary.protected && (
        <Tooltip title={t.protectedText}>
          <Tag color="red">{t.protected}</Tag>
        </Tooltip>
      )}
      {[...summary.versions, ...summary.protocols].map((word) => (
        <Tag key={word}>{word}</Tag>
      ))}
    </>
  )
}

function TabBody({
  of,
  tab,
  range,
  open,
}: {
  of: ServiceName
  tab: Tab
  range: UsedTimeRange
  open: (tab: Tab) => void
}) {
  const { namespace, service, group } = of
  const found = useDocumentsOf(
    namespace,
    service,
    group,
    tab !== 'instances' && tab !== 'endpoints' && tab !== 'settings',
  )
  const documents = found.data?.documents.map(targetOf) ?? []
  const summary = useSummary(of)
  switch (tab) {
    case 'overview':
      return <OverviewTab of={of} range={range} documents={documents} open={open} />
    case 'instances':
      return <InstancesTab of={of} />
    case 'endpoints':
      return <EndpointsTab of={of} range={range} />
    case 'configuration':
      return <ConfigurationTab of={of} found={found} />
    case 'changes':
      return <ChangesTab of={of} range={range} documents={documents} />
    case 'settings':
      return (
        <Answer query={summary} shape="rows" count={4}>
          {(known) => <SettingsTab of={of} settings={known?.settings} />}
        </Answer>
      )
  }
}

function OverviewTab({
  of,
  range,
  documents,
  open,
}: {
  of: ServiceName
  range: UsedTimeRange
  documents: readonly string[]
  open: (tab: Tab) => void
}) {
  const t = useMessages(texts)
  const red = useRed(of.namespace, of.service, range)
  const changes = useChanges(of.namespace, of.service, documents, range)
  return (
    <>
      <RedPanels red={red} changes={changes.data?.changes ?? []} range={range} />
      <EdgesPanels of={of} range={range} />
      <SubscribersPanel of={of} />
      <Panel
        title={t.recent}
        className="g-panel-flush"
        extra={
          <Button type="link" size="small" onClick={() => open('changes')}>
            {t.allChanges}
          </Button>
        }
      >
        <Answer query={changes} count={3}>
          {(answer) => (
            <ChangesTable
              namespace={of.namespace}
              label={t.recent}
              changes={answer.changes.slice(0, 8)}
              height="340px"
            />
          )}
        </Answer>
      </Panel>
    </>
  )
}

function ChangesTab({ of, range, documents }: { of: ServiceName; range: UsedTimeRange; documents: readonly string[] }) {
  const t = useMessages(texts)
  const changes = useChanges(of.namespace, of.service, documents, range)
  return (
    <Panel title={t.tabs.changes} className="g-panel-flush">
      <Answer query={changes}>
        {(answer) => (
          <>
            <ChangesTable namespace={of.namespace} label={t.tabs.changes} changes={answer.changes} />
            {answer.truncated && <p className="g-service-note g-secondary">{t.truncated}</p>}
            {answer.partial.length > 0 && (
              <p className="g-service-note g-danger">{t.missing(answer.partial.join(', '))}</p>
            )}
          </>
        )}
      </Answer>
    </Panel>
  )
}

/** What a tab shows, as a command and as a call. */
function sameAs(
  { namespace, service, group }: ServiceName,
  tab: Tab,
  range: UsedTimeRange,
  given: string | null,
): Same {
  const order = given === 'failing' || given === 'busiest' ? given : undefined
  const ref = { namespace, group, service }
  const since = timeFlags(range)
  const span = range.span()
  const time = { since: span.since.toISOString(), until: span.until.toISOString() }
  const inGroup = group === 'default' ? [] : ['-g', group]
  switch (tab) {
    case 'instances':
      return {
        command: ['instances', service, '-n', namespace, ...inGroup],
        call: { method: 'gantry.v1.InstanceService/ListInstances', message: { service: ref } },
      }
    case 'endpoints':
      return {
        command: ['endpoints', service, '-n', namespace, ...since, ...(order ? ['--sort', order] : [])],
        call: {
          method: 'gantry.v1.TopologyService/EndpointFigures',
          message: { namespace, service, time, ...(order ? { order: `ENDPOINT_ORDER_${order.toUpperCase()}` } : {}) },
        },
      }
    case 'configuration':
      return {
        command: ['get', 'Config', '-n', namespace],
        call: { method: 'gantry.v1.ReleaseService/List', message: { namespace, kind: 'Config' } },
      }
    case 'changes':
      return {
        command: ['changes', '-n', namespace, '--service', service, ...since],
        call: { method: 'gantry.v1.EventService/Changes', message: { namespace, service, ...time } },
      }
    case 'settings':
      return {
        command: ['services', service, '-n', namespace, '-o', 'json'],
        call: { method: 'gantry.v1.InstanceService/ListServices', message: { namespace, search: service } },
      }
    case 'overview':
      return {
        command: ['topology', service, '-n', namespace, ...since],
        call: { method: 'gantry.v1.TopologyService/Topology', message: { namespace, service, time } },
      }
  }
}
