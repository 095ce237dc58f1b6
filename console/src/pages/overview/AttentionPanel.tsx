import type { UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { Service } from '@/api/gen/gantry/v1/instance_pb'
import type { ServiceFiguresResponse } from '@/api/gen/gantry/v1/topology_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { errorShare } from '@/ui/Figure'
import { duration, rate, share } from '@/ui/format'
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
      {
        key: 'state',
        title: t.state,
        width: 136,
        render: ({ state, service }) => (
          <>
            <StateTag state={state} />{' '}
            <span className="g-secondary g-num">{`${service.available}/${service.instances}`}</span>
          </>
        ),
      },
      { key: 'rate', title: t.rate, width: 72, align: 'right', render: ({ figure }) => rate(figure?.figures?.rate) },
      {
        key: 'errors',
        title: t.errors,
        width: 72,
        align: 'right',
        render: ({ figure }) => (
          <span className={figure?.figures?.failed ? 'g-danger' : undefined}>{share(errorShare(figure?.figures))}</span>
        ),
      },
      { key: 'p99', title: t.p99, width: 72, align: 'right', render: ({ figure }) => duration(figure?.figures?.p99) },
    ],
    [t, namespace],
  )
  return (
    <Panel title={t.attention} className="g-panel-flush" extra={<span className="g-secondary">{t.recent}</span>}>
      <Answer query={services} count={3}>
        {(all) =>
          all.length === 0 ? (
            <Empty title={t.noServicesYet}>{t.noServicesText}</Empty>
          ) : rows.length === 0 ? (
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
