import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { TopologyEdge } from '@/api/gen/gantry/v1/topology_pb'
import { topology } from '@/api/clients/topology'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Answered, AverageOf } from '@/ui/Answered'
import { Empty } from '@/ui/Empty'
import { RedLine } from '@/ui/Figure'
import { Panel } from '@/ui/Page'
import type { UsedTimeRange } from '@/ui/timeRange'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'
import type { ServiceName } from './useService'

/** Who calls the service, and whom it calls. */
export function EdgesPanels({ of, range }: { of: ServiceName; range: UsedTimeRange }) {
  const t = useMessages(texts)
  const { namespace, service } = of
  const graph = useQuery({
    queryKey: key('figures', namespace, 'edges', service, range.from, range.to),
    queryFn: ({ signal }) => topology.topology({ namespace, service, time: range.timestamps() }, { signal }),
    placeholderData: (before) => before,
  })
  const parts = useMemo(() => {
    const edges = [...(graph.data?.edges ?? [])].sort((a, b) => (b.figures?.rate ?? 0) - (a.figures?.rate ?? 0))
    return {
      callers: edges.filter((edge) => edge.callee === service),
      callees: edges.filter((edge) => edge.caller === service && edge.callee !== service),
      types: new Map((graph.data?.nodes ?? []).map((node) => [node.name, node.type])),
    }
  }, [graph.data, service])
  const table = (title: string, rows: TopologyEdge[], end: 'caller' | 'callee', none: string) => (
    <Panel title={title} className="g-panel-flush" extra={<AverageOf about={graph.data?.answered} />}>
      <Answer query={graph} count={3}>
        {() => <Edges namespace={namespace} label={title} rows={rows} end={end} types={parts.types} none={none} />}
      </Answer>
    </Panel>
  )
  return (
    <>
      <Answered about={graph.data?.answered} />
      <div className="g-service-charts">
        {table(t.callers, parts.callers, 'caller', t.noCallers)}
        {table(t.callees, parts.callees, 'callee', t.noCallees)}
      </div>
    </>
  )
}

function Edges({
  namespace,
  label,
  rows,
  end,
  types,
  none,
}: {
  namespace: string
  label: string
  rows: TopologyEdge[]
  end: 'caller' | 'callee'
  types: ReadonlyMap<string, string>
  none: string
}) {
  const t = useMessages(texts)
  const columns = useMemo<Column<TopologyEdge>[]>(() => {
    const typeOf = (edge: TopologyEdge) =>
      end === 'callee' ? edge.calleeType : (types.get(edge.caller) ?? (edge.caller === 'user' ? 'user' : 'service'))
    const words: Record<string, string> = t.types
    return [
      {
        key: 'name',
        title: t.name,
        width: '2fr',
        render: (edge) => (
          <span title={edge[end]}>
            {typeOf(edge) === 'service' ? (
              <PageLink to={paths.service(namespace, edge[end])}>{edge[end]}</PageLink>
            ) : (
              edge[end]
            )}
          </span>
        ),
      },
      {
        key: 'type',
        title: t.type,
        width: 96,
        render: (edge) => (
          <span className="g-secondary" title={edge.protocol}>
            {[words[typeOf(edge)] ?? typeOf(edge), edge.protocol].filter(Boolean).join(' · ')}
          </span>
        ),
      },
      {
        key: 'red',
        title: `${t.rate} · ${t.errors} · p50 · p99`,
        width: 256,
        align: 'right',
        compare: (a, b) => (a.figures?.rate ?? 0) - (b.figures?.rate ?? 0),
        render: (edge) => <RedLine figures={edge.figures} />,
      },
    ]
  }, [t, namespace, end, types])
  return (
    <VirtualTable
      label={label}
      rows={rows}
      columns={columns}
      rowKey={(edge) => `${edge.caller} ${edge.callee} ${edge.protocol}`}
      height="320px"
      empty={<Empty title={none} />}
    />
  )
}
