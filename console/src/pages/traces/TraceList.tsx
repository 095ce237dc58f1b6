import { SwapOutlined } from '@ant-design/icons'
import { Button } from 'antd'
import { useMemo } from 'react'
import { durationMs } from '@bufbuild/protobuf/wkt'
import type { TraceSummary } from '@/api/gen/gantry/v1/trace_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Empty } from '@/ui/Empty'
import { count, dateOf, duration, shortId } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { Time } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'
import { lengthOf, outcomeOf } from './summary'

export function TraceList({
  namespace,
  traces,
  refused,
  open,
  comparing,
  compare,
}: {
  namespace: string
  traces: readonly TraceSummary[]
  /** Traces with a span that the business refused. */
  refused: ReadonlySet<string>
  open: (id: string) => void
  /** The one that another is to be compared with. */
  comparing: string
  compare: (id: string) => void
}) {
  const t = useMessages(texts)
  const longest = traces.reduce((most, trace) => Math.max(most, lengthOf(trace)), 0)
  const columns = useMemo<Column<TraceSummary>[]>(
    () => [
      {
        key: 'start',
        title: t.start,
        width: 176,
        render: (trace) => <Time at={dateOf(trace.start)} milliseconds />,
        compare: (a, b) => (dateOf(a.start)?.getTime() ?? 0) - (dateOf(b.start)?.getTime() ?? 0),
      },
      {
        key: 'duration',
        title: t.duration,
        width: 112,
        align: 'right',
        render: (trace) => (
          <span className="g-traces-length">
            <span aria-hidden style={{ width: `${longest > 0 ? (100 * lengthOf(trace)) / longest : 0}%` }} />
            {duration(trace.duration)}
          </span>
        ),
        compare: (a, b) => (a.duration && b.duration ? durationMs(a.duration) - durationMs(b.duration) : 0),
      },
      {
        key: 'outcome',
        title: t.outcome,
        width: 120,
        render: (trace) => (
          <StateTag state={outcomeOf(trace, refused)}>
            {trace.failed > 0 ? t.failedSpans(trace.failed) : undefined}
          </StateTag>
        ),
        compare: (a, b) => a.failed - b.failed,
      },
      {
        key: 'root',
        title: t.root,
        width: '3fr',
        render: (trace) => (
          <PageLink to={paths.trace(namespace, trace.traceId)}>
            <strong>{trace.rootService}</strong> {trace.rootName}
            {!trace.complete && <span className="g-secondary"> · {t.incomplete}</span>}
          </PageLink>
        ),
      },
      {
        key: 'services',
        title: t.services,
        width: '2fr',
        render: (trace) => (
          <span className="g-secondary" title={serviceNames(trace)}>
            {serviceNames(trace)}
          </span>
        ),
      },
      {
        key: 'spans',
        title: t.spans,
        width: 64,
        align: 'right',
        render: (trace) => count(trace.spans),
        compare: (a, b) => a.spans - b.spans,
      },
      {
        key: 'id',
        title: t.id,
        width: 80,
        render: (trace) => (
          <code className="g-secondary" title={trace.traceId}>
            {shortId(trace.traceId)}
          </code>
        ),
      },
      {
        key: 'compare',
        title: '',
        width: 44,
        render: (trace) => (
          <Button
            size="small"
            type={comparing === trace.traceId ? 'primary' : 'text'}
            aria-pressed={comparing === trace.traceId}
            icon={<SwapOutlined />}
            aria-label={comparing ? t.compareWith(shortId(comparing)) : t.compare}
            title={comparing ? t.compareWith(shortId(comparing)) : t.compare}
            onClick={() => compare(trace.traceId)}
          />
        ),
      },
    ],
    [t, namespace, longest, refused, comparing, compare],
  )
  return (
    <VirtualTable
      label={t.title}
      rows={traces}
      columns={columns}
      rowKey={(trace) => trace.traceId}
      onOpen={(trace) => open(trace.traceId)}
      selected={comparing || undefined}
      empty={<Empty title={t.none}>{t.noneHint}</Empty>}
    />
  )
}

const serviceNames = (trace: TraceSummary) => Object.keys(trace.services).sort().join(', ')
