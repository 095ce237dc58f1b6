import { useMemo } from 'react'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { errorShare } from '@/ui/Figure'
import { duration, rate, share } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'
import type { Attention } from './summary'

export default function AttentionTable({ namespace, rows }: { namespace: string; rows: readonly Attention[] }) {
  const t = useMessages(texts)
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
    <VirtualTable
      label={t.attention}
      rows={rows}
      columns={columns}
      rowKey={({ service }) => `${service.ref?.group}/${service.ref?.service}`}
      height="320px"
    />
  )
}
