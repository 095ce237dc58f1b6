import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { key } from '@/api/keys'
import { everywhere, queryRange } from '@/api/prometheus'
import { useMessages } from '@/app/i18n'
import { useSession } from '@/app/session'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { bytes, count, rate, seconds } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { stepOf, type UsedTimeRange } from '@/ui/timeRange'
import { TimeSeries } from '@/ui/TimeSeries'
import { texts } from './messages'

// What nodes write of themselves belongs to no namespace and has the label node.
const figures = [
  { name: 'spans', query: 'sum by (node) (rate(gantry_ingest_spans_total[1m]))', format: rate },
  { name: 'memory', query: 'max by (node) (go_memstats_heap_inuse_bytes{job="gantry"})', format: bytes },
  { name: 'series', query: 'max by (node) (gantry_series_in_memory)', format: count },
  {
    name: 'writes',
    query: 'histogram_quantile(0.99, sum by (node, le) (rate(gantry_state_transaction_seconds_bucket[5m])))',
    format: seconds,
  },
  {
    name: 'lag',
    query: 'max by (node) (clamp_min(gantry_state_revision - gantry_state_mirrored_revision, 0))',
    format: count,
  },
  { name: 'disk', query: 'max by (node) (gantry_state_disk_free_bytes)', format: bytes },
] as const

type Figure = (typeof figures)[number]

export function Figures({ namespace, range }: { namespace: string; range: UsedTimeRange }) {
  const t = useMessages(texts)
  const may = useSession().can(Role.VIEWER, everywhere)
  if (!may)
    return (
      <Panel title={t.figures}>
        <Empty title={t.figuresForbidden} />
      </Panel>
    )
  return (
    <div className="g-columns">
      {figures.map((figure) => (
        <FigurePanel key={figure.name} namespace={namespace} figure={figure} range={range} />
      ))}
    </div>
  )
}

function FigurePanel({ namespace, figure, range }: { namespace: string; figure: Figure; range: UsedTimeRange }) {
  const t = useMessages(texts)
  const title = t.figure[figure.name]
  const answer = useQuery({
    queryKey: key('figures', namespace, 'nodes', figure.name, range.from, range.to),
    queryFn: ({ signal }) => {
      const span = range.span()
      return queryRange(everywhere, figure.query, span, Math.max(15, stepOf(span)), signal)
    },
    // Nodes write of themselves every fifteen seconds.
    staleTime: 15_000,
  })
  const lines = useMemo(
    () => (answer.data?.series ?? []).map(({ labels, values }) => ({ name: labels['node'] ?? '', values })),
    [answer.data],
  )
  return (
    <Panel title={title}>
      <Answer query={answer} shape="chart">
        {(known) => (
          <TimeSeries
            label={title}
            times={known.times}
            lines={lines}
            format={figure.format}
            height={160}
            onSelect={(from, to) => range.set({ from: from.toISOString(), to: to.toISOString() })}
          />
        )}
      </Answer>
    </Panel>
  )
}
