import { ReloadOutlined } from '@ant-design/icons'
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query'
import { Alert, Button } from 'antd'
import { useCallback, useMemo } from 'react'
import { useNavigate, useSearchParams } from 'react-router'
import { traces } from '@/api/clients/traces'
import type { SearchTracesResponse } from '@/api/gen/gantry/v1/trace_pb'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { dateOf, seconds, shortId } from '@/ui/format'
import { Page, Panel } from '@/ui/Page'
import { Scatter, type Dot } from '@/ui/Scatter'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { useTimeRange, type Span } from '@/ui/timeRange'
import { command, message, read, request, write, type Conditions } from './conditions'
import { ConditionsBar } from './ConditionsBar'
import { FindBox } from './FindBox'
import { sampleKeys } from './lookup'
import { texts } from './messages'
import { lengthOf, outcomeOf } from './summary'
import { TraceList } from './TraceList'
import './traces.css'

const tones = { success: 'accent', refused: 'warn', failed: 'bad' } as const
const noTraces = new Set<string>()

/** Finds traces: by what is known about them, or by where they lie among the others. */
export default function Traces() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const navigate = useNavigate()
  const range = useTimeRange()
  const [search, setSearch] = useSearchParams()
  const conditions = useMemo(() => read(search), [search])
  const change = (changed: Partial<Conditions>) => setSearch((old) => write(old, { ...read(old), ...changed }))
  const { found, refused } = useSearch(namespace, conditions, range)
  const keys = useKeys(namespace, conditions.service)
  const comparing = search.get('compare') ?? ''
  const open = useCallback((id: string) => void navigate(paths.trace(namespace, id)), [navigate, namespace])
  const compare = useCallback(
    (id: string) => {
      if (comparing && comparing !== id) return void navigate(paths.compare(namespace, comparing, id))
      setSearch((old) => {
        const next = new URLSearchParams(old)
        if (comparing === id) next.delete('compare')
        else next.set('compare', id)
        return next
      })
    },
    [comparing, namespace, navigate, setSearch],
  )
  const span = range.span()
  return (
    <Page
      title={t.title}
      views="traces"
      actions={
        <>
          <TimeRangePicker range={range} />
          <Button
            icon={<ReloadOutlined />}
            aria-label={t.refresh}
            title={t.refresh}
            loading={found.isFetching}
            onClick={() => void found.refetch()}
          />
        </>
      }
      same={{
        command: command(namespace, conditions, range),
        call: {
          method: 'gantry.v1.TraceService/SearchTraces',
          message: message(namespace, conditions, span.since, span.until),
        },
      }}
    >
      <FindBox namespace={namespace} keys={keys.load} />
      <Panel title={t.conditions.label} className="g-traces-panel">
        <ConditionsBar namespace={namespace} conditions={conditions} keys={keys.known} change={change} />
      </Panel>
      {comparing && (
        <Alert
          type="info"
          role="status"
          title={t.comparing(shortId(comparing))}
          action={
            <Button size="small" onClick={() => compare(comparing)}>
              {t.stopComparing}
            </Button>
          }
        />
      )}
      <Answer query={found} shape="chart">
        {(answer) => (
          <>
            <Lacking answer={answer.answer} limit={conditions.limit} />
            <Durations {...answer} limit={conditions.limit} refused={refused} open={open} narrow={range.set} />
            <Panel title={t.list(answer.answer.traces.length)} className="g-panel-flush">
              <TraceList
                namespace={namespace}
                traces={answer.answer.traces}
                refused={refused}
                open={open}
                comparing={comparing}
                compare={compare}
              />
            </Panel>
          </>
        )}
      </Answer>
    </Page>
  )
}

interface FoundTraces {
  answer: SearchTracesResponse
  /** What "the last hour" was when it was asked. */
  span: Span
}

function useSearch(namespace: string, conditions: Conditions, range: ReturnType<typeof useTimeRange>) {
  const asked = request(namespace, conditions)
  const parts = [conditions, range.from, range.to]
  const found = useQuery({
    queryKey: key('traces', namespace, 'search', ...parts),
    queryFn: async ({ signal }): Promise<FoundTraces> => {
      const span = range.span()
      return { answer: await traces.searchTraces({ ...asked, within: range.timestamps() }, { signal }), span }
    },
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  })
  // A summary says what failed, and not what was refused: those are asked for by their own. When they cannot be, they are shown as what they are otherwise: no failures.
  const refusals = useQuery({
    queryKey: key('traces', namespace, 'refused', ...parts),
    queryFn: async ({ signal }) => {
      const answer = await traces.searchTraces(
        { ...asked, outcomes: ['refused'], within: range.timestamps() },
        { signal },
      )
      return new Set(answer.traces.map((trace) => trace.traceId))
    },
    enabled: conditions.outcomes.length === 0 || conditions.outcomes.includes('refused'),
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  })
  return { found, refused: refusals.data ?? noTraces }
}

/** The attributes that services bring, seen in some recent traces. */
function useKeys(namespace: string, service: string) {
  const client = useQueryClient()
  const options = {
    queryKey: key('traces', namespace, 'keys', service),
    queryFn: ({ signal }: { signal?: AbortSignal }) =>
      sampleKeys(namespace, service, new Date(Date.now() - 86400_000), signal),
    staleTime: 300_000,
  }
  const known = useQuery(options)
  const all = {
    ...options,
    queryKey: key('traces', namespace, 'keys', ''),
    queryFn: ({ signal }: { signal?: AbortSignal }) =>
      sampleKeys(namespace, '', new Date(Date.now() - 86400_000), signal),
  }
  return { known: known.data ?? [], load: () => client.fetchQuery(all) }
}

/** What the list may lack. */
function Lacking({ answer, limit }: { answer: SearchTracesResponse; limit: number }) {
  const t = useMessages(texts)
  return (
    <>
      {answer.partial.length > 0 && (
        <Alert
          type="warning"
          showIcon
          role="status"
          title={t.partial}
          description={<span className="g-break">{answer.partial.join(' · ')}</span>}
        />
      )}
      {answer.truncated ? (
        <Alert type="warning" showIcon role="status" title={t.truncated} />
      ) : (
        answer.traces.length >= limit && <Alert type="info" role="status" title={t.limited(answer.traces.length)} />
      )}
    </>
  )
}

function Durations({
  answer,
  span,
  limit,
  refused,
  open,
  narrow,
}: FoundTraces & {
  limit: number
  refused: ReadonlySet<string>
  open: (id: string) => void
  narrow: (range: { from: string; to: string }) => void
}) {
  const t = useMessages(texts)
  const found = answer.traces
  const dots = useMemo<Dot[]>(
    () =>
      found.map((trace) => ({
        at: dateOf(trace.start) ?? new Date(0),
        value: lengthOf(trace) / 1000,
        tone: tones[outcomeOf(trace, refused)],
        text: `${trace.rootService} ${trace.rootName}`,
      })),
    [found, refused],
  )
  if (found.length === 0) return null
  // Older ones than the oldest that came are not known: an empty left side would say that there were none.
  const oldest = dots.reduce((least, dot) => Math.min(least, dot.at.getTime()), span.until.getTime())
  const from = found.length >= limit || answer.truncated ? new Date(oldest) : span.since
  return (
    <Panel
      title={t.scatter}
      extra={
        <span className="g-traces-legend">
          <StateLegend />
          <span className="g-secondary">{t.scatterHint}</span>
        </span>
      }
    >
      <Scatter
        label={t.scatter}
        dots={dots}
        from={from}
        to={span.until}
        format={seconds}
        onOpen={(index) => open(found[index]!.traceId)}
        onSelect={(a, b) => narrow({ from: a.toISOString(), to: b.toISOString() })}
      />
    </Panel>
  )
}

function StateLegend() {
  const t = useMessages(texts).legend
  return (
    <>
      <span className="g-traces-mark g-traces-success">{t.success}</span>
      <span className="g-traces-mark g-traces-refused">{t.refused}</span>
      <span className="g-traces-mark g-traces-failed">{t.failed}</span>
    </>
  )
}
