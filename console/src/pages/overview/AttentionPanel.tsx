import type { UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { Service } from '@/api/gen/gantry/v1/instance_pb'
import type { ServiceFiguresResponse } from '@/api/gen/gantry/v1/topology_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { RedLine } from '@/ui/Figure'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'
import { attention, type Attention } from './summary'

export function AttentionPanel({
  namespace,
  services,
  figures,
}: {
  namespace: string
  services: UseQueryResult<Service[]>
  figures: UseQueryResult<ServiceFiguresResponse>
}) {
  const t = useMessages(texts)
  const rows = useMemo(
    () => attention(services.data ?? [], figures.data?.services ?? []),
    [services.data, figures.data],
  )
  const columns = useMemo<Column<Attention>[]>(
    () => [
      {
        key: 'service',
        title: t.service,
        width: '1fr',
        render: ({ service }) => (
          <PageLink to={paths.service(namespace, service.ref?.service ?? '', service.ref?.group)}>
            {service.ref?.service}
          </PageLink>
        ),
      },
      { key: 'state', title: t.state, width: 120, render: ({ state }) => <StateTag state={state} /> },
      {
        key: 'available',
        title: t.available,
        width: 72,
        align: 'right',
        render: ({ service }) => `${service.available}/${service.instances}`,
      },
      {
        key: 'red',
        title: `${t.rate} · ${t.errors} · p50 · p99`,
        width: 280,
        align: 'right',
        render: ({ figure }) => <RedLine figures={figure?.figures} />,
      },
    ],
    [t, namespace],
  )
  return (
    <Panel title={t.attention} className="g-panel-flush">
      <Answer query={services} count={3}>
        {() =>
          rows.length === 0 ? (
            <p className="g-overview-well">
              <StateTag state="healthy">{t.attentionNone}</StateTag>
            </p>
          ) : (
            <VirtualTable
              label={t.attention}
              rows={rows}
              columns={columns}
              rowKey={({ service }) => `${service.ref?.group}/${service.ref?.service}`}
              height="320px"
            />
          )
        }
      </Answer>
    </Panel>
  )
}
