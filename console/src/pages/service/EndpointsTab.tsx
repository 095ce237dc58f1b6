import { useQuery } from '@tanstack/react-query'
import { Segmented } from 'antd'
import { useMemo } from 'react'
import { useSearchParams } from 'react-router'
import { EndpointOrder, type EndpointFigure } from '@/api/gen/gantry/v1/topology_pb'
import { topology } from '@/api/clients/topology'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Answered, AverageOf } from '@/ui/Answered'
import { Empty } from '@/ui/Empty'
import { errorShare } from '@/ui/Figure'
import { duration, rate, share } from '@/ui/format'
import { Panel } from '@/ui/Page'
import type { UsedTimeRange } from '@/ui/timeRange'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'
import type { ServiceName } from './useService'

const orders = {
  slowest: EndpointOrder.SLOWEST,
  failing: EndpointOrder.FAILING,
  busiest: EndpointOrder.BUSIEST,
} as const
type Order = keyof typeof orders

/** What the service is asked for: the slowest, those that fail most, or the busiest first. */
export function EndpointsTab({ of, range }: { of: ServiceName; range: UsedTimeRange }) {
  const t = useMessages(texts)
  const { namespace, service } = of
  const [search, setSearch] = useSearchParams()
  const given = search.get('order')
  const order: Order = given === 'failing' || given === 'busiest' ? given : 'slowest'
  const list = useQuery({
    queryKey: key('figures', namespace, 'endpoints', service, order, range.from, range.to),
    queryFn: ({ signal }) =>
      topology.endpointFigures(
        { namespace, service, time: range.timestamps(), order: orders[order], limit: 500 },
        { signal },
      ),
    placeholderData: (before) => before,
  })
  const columns = useMemo<Column<EndpointFigure>[]>(
    () => [
      {
        key: 'endpoint',
        title: t.endpoint,
        width: '3fr',
        render: ({ endpoint }) => (
          <span title={endpoint}>
            <PageLink to={withQuery(paths.traces(namespace), { service, endpoint, from: range.from, to: range.to })}>
              {endpoint}
            </PageLink>
          </span>
        ),
      },
      { key: 'kind', title: t.kind, width: 80, render: ({ kind }) => <span className="g-secondary">{kind}</span> },
      { key: 'rate', title: t.calls, width: 80, align: 'right', render: ({ figures }) => rate(figures?.rate) },
      {
        key: 'errors',
        title: t.errors,
        width: 72,
        align: 'right',
        render: ({ figures }) => (
          <span className={figures && figures.failed > 0n ? 'g-danger' : undefined}>{share(errorShare(figures))}</span>
        ),
      },
      {
        key: 'refused',
        title: t.refusedShare,
        width: 72,
        align: 'right',
        render: ({ figures }) =>
          share(figures && figures.calls > 0n ? Number(figures.refused) / Number(figures.calls) : undefined),
      },
      { key: 'p50', title: t.p50, width: 80, align: 'right', render: ({ figures }) => duration(figures?.p50) },
      { key: 'p95', title: t.p95, width: 80, align: 'right', render: ({ figures }) => duration(figures?.p95) },
      { key: 'p99', title: t.p99, width: 80, align: 'right', render: ({ figures }) => duration(figures?.p99) },
      { key: 'max', title: t.max, width: 80, align: 'right', render: ({ figures }) => duration(figures?.max) },
    ],
    [t, namespace, service, range.from, range.to],
  )
  return (
    <Panel
      title={t.tabs.endpoints}
      className="g-panel-flush"
      extra={
        <>
          <AverageOf about={list.data?.answered} />
          <span className="g-grow" />
          <Segmented
            size="small"
            aria-label={t.order}
            value={order}
            options={(Object.keys(orders) as Order[]).map((value) => ({ value, label: t.orders[value] }))}
            onChange={(value) =>
              setSearch((old) => {
                const changed = new URLSearchParams(old)
                changed.set('order', value)
                return changed
              })
            }
          />
        </>
      }
    >
      <Answer query={list}>
        {(answer) => (
          <>
            <Answered about={answer.answered} />
            <VirtualTable
              label={t.tabs.endpoints}
              rows={answer.endpoints}
              columns={columns}
              rowKey={({ endpoint, kind }) => `${kind} ${endpoint}`}
              empty={<Empty title={t.noEndpoints}>{t.noEndpointsText}</Empty>}
            />
          </>
        )}
      </Answer>
    </Panel>
  )
}
