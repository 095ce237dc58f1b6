import { useParams } from 'react-router'
import { useMessages } from '@/app/i18n'
import { paths } from '@/app/paths'
import { useChanges } from '@/pages/service/changes'
import { ChangesTable } from '@/pages/service/ChangesTable'
import { targetOf, useDocumentsOf, useLoaded } from '@/pages/service/documents'
import { InstanceState } from '@/pages/service/InstancesTab'
import { useRed } from '@/pages/service/red'
import { RedPanels } from '@/pages/service/RedPanels'
import { SubscribersPanel } from '@/pages/service/SubscribersPanel'
import { useInstanceFigures, useInstances, useServiceName, type ServiceName } from '@/pages/service/useService'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { Page, Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { stateOf } from '@/ui/states'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { useTimeRange } from '@/ui/timeRange'
import { ChecksPanel } from './ChecksPanel'
import { FactsPanel, PairsPanel } from './FactsPanel'
import { LoadedPanel } from './LoadedPanel'
import { texts } from './messages'
import { ActButtons, useOperate } from './operate/useOperate'
import { RuntimePanel } from './RuntimePanel'
import '@/pages/service/service.css'
import './instance.css'

/** One instance: how it is, what it does, what it loaded; and what an operator may do to it. */
export default function InstanceDetails() {
  const of = useServiceName()
  const id = useParams()['instance'] ?? ''
  return <InstancePage key={`${of.namespace}/${of.group}/${of.service}/${id}`} of={of} id={id} />
}

function InstancePage({ of, id }: { of: ServiceName; id: string }) {
  const t = useMessages(texts)
  const { namespace, service, group } = of
  const range = useTimeRange()
  const list = useInstances(of)
  const figures = useInstanceFigures(of)
  const found = useDocumentsOf(namespace, service, group)
  const loaded = useLoaded(namespace, service, group, found.data)
  const documents = (loaded.data ?? [])
    .filter((one) => one.reports.some((report) => report.subject?.instanceId === id))
    .map((one) => targetOf(one.document))
  const changes = useChanges(namespace, service, documents, range, id)
  const red = useRed(namespace, service, range, id)
  const instance = list.data?.find((one) => one.id === id)
  const figure = figures.data?.instances.find((one) => one.instance === id)
  const { ask, dialog, refused } = useOperate({ ...of, all: list.data ?? [] })
  return (
    <Page
      title={id}
      crumbs={[
        { title: t.services, to: paths.services(namespace) },
        { title: service, to: paths.service(namespace, service, group) },
        { title: id },
      ]}
      tag={
        instance ? (
          <InstanceState instance={instance} state={stateOf(instance)} />
        ) : (
          list.data && <StateTag state="empty">{t.gone}</StateTag>
        )
      }
      same={{
        command: ['instances', service, '-n', namespace, ...(group === 'default' ? [] : ['-g', group]), '-o', 'wide'],
        call: {
          method: 'gantry.v1.InstanceService/ListInstances',
          message: { service: { namespace, group, service } },
        },
      }}
      actions={
        <>
          {instance && <ActButtons targets={[instance]} ask={ask} refused={refused} />}
          <TimeRangePicker range={range} />
        </>
      }
    >
      <Answer query={list} count={4}>
        {() => (instance ? null : <Empty title={t.gone}>{t.goneText}</Empty>)}
      </Answer>
      <RedPanels red={red} changes={changes.data?.changes ?? []} range={range} />
      <div className="g-instance">
        {instance && <FactsPanel instance={instance} figure={figure} />}
        <div className="g-instance-stack">
          <LoadedPanel namespace={namespace} instance={id} documents={found} loaded={loaded} />
          {instance && <ChecksPanel instance={instance} />}
          {instance && (
            <div className="g-instance-halves">
              <PairsPanel title={t.labels} pairs={instance.labels} />
              <PairsPanel title={t.metadata} pairs={instance.metadata} />
            </div>
          )}
        </div>
      </div>
      {instance && <SubscribersPanel of={of} instance={id} />}
      <RuntimePanel of={of} instance={id} range={range} />
      <Panel title={t.changes} className="g-panel-flush">
        <Answer query={changes} count={3}>
          {(answer) => <ChangesTable namespace={namespace} label={t.changes} changes={answer.changes} height="400px" />}
        </Answer>
      </Panel>
      {dialog}
    </Page>
  )
}
