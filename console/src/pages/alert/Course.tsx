import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { AlertRule } from '@/api/gen/gantry/v1/alert_pb'
import { key } from '@/api/keys'
import { queryRange, type RangeAnswer, type Series } from '@/api/prometheus'
import { useMessages } from '@/app/i18n'
import { Answer } from '@/ui/Answer'
import { count, dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { stepOf, type UsedTimeRange } from '@/ui/timeRange'
import { TimeSeries, type Line, type Marker } from '@/ui/TimeSeries'
import { texts } from './messages'
import { compared } from './threshold'

const mostLines = 12

const name = (series: Series) =>
  Object.entries(series.labels)
    .filter(([label]) => !['namespace', '__name__', 'alertname', 'severity'].includes(label))
    .map(([label, value]) => (label === 'service' ? value : `${label}=${value}`))
    .join(' ')

const highest = (series: Series) => Math.max(...series.values.map((value) => value ?? -Infinity))

/** The series of one of a rule's expressions over the time that is chosen, with the threshold and what was changed. */
export function Course({
  namespace,
  rule,
  expression,
  range,
}: {
  namespace: string
  rule: AlertRule
  expression: string
  range: UsedTimeRange
}) {
  const t = useMessages(texts)
  const parts = useMemo(() => compared(expression), [expression])
  const query = parts?.expression ?? expression
  const answer = useQuery({
    queryKey: key('figures', namespace, 'course', query, range.from, range.to),
    queryFn: ({ signal }) => {
      const span = range.span()
      return queryRange(namespace, query, span, stepOf(span), signal)
    },
    // What lies in the past does not move, and the newest point is as old as the evaluation.
    staleTime: 10_000,
  })
  const lines = useMemo(() => (answer.data ? linesOf(answer.data, parts?.threshold, t) : []), [answer.data, parts, t])
  const markers = useMemo(() => markersOf(rule), [rule])
  const many = (answer.data?.series.length ?? 0) > mostLines
  return (
    <Panel
      title={t.graph}
      extra={
        <span className="g-secondary">
          {parts ? t.threshold(parts.operator, count(parts.threshold)) : t.raw} {many && t.more(mostLines)}
        </span>
      }
    >
      <Answer query={answer} shape="chart">
        {(known) => (
          <TimeSeries
            label={`${rule.name}: ${t.graph}`}
            times={known.times}
            lines={lines}
            format={(value) => count(Number(value.toPrecision(4)))}
            markers={markers}
            height={264}
            onSelect={(from, to) => range.set({ from: from.toISOString(), to: to.toISOString() })}
          />
        )}
      </Answer>
      <pre className="g-pre g-alert-expression">{expression.trim()}</pre>
    </Panel>
  )
}

function linesOf(answer: RangeAnswer, threshold: number | undefined, t: { expression: string; limit: string }): Line[] {
  const shown = [...answer.series].sort((a, b) => highest(b) - highest(a)).slice(0, mostLines)
  const lines: Line[] = shown.map((series) => ({ name: name(series) || t.expression, values: series.values }))
  if (threshold !== undefined && lines.length > 0)
    lines.push({ name: t.limit, values: answer.times.map(() => threshold), tone: 'bad' })
  return lines
}

/** What was changed before its alerts of now. */
function markersOf(rule: AlertRule): Marker[] {
  const seen = new Map<string, Marker>()
  for (const alert of rule.alerts)
    for (const change of alert.changes) {
      const at = dateOf(change.at)
      if (at && change.kind.startsWith('release'))
        seen.set(`${at.getTime()} ${change.summary}`, { at, text: `${change.kind} ${change.summary}` })
    }
  return [...seen.values()]
}
