import type { InputRef } from 'antd'
import { memo, useCallback, useDeferredValue, useEffect, useMemo, useRef } from 'react'
import type { BusinessEvent } from '@/api/gen/gantry/v1/event_pb'
import type { Span } from '@/api/gen/gantry/v1/trace_pb'
import { useMessages } from '@/app/i18n'
import { useDark } from '@/app/Theme'
import { Empty } from '@/ui/Empty'
import { Panel } from '@/ui/Page'
import { ChangesPanel } from './ChangesPanel'
import { colourOf } from './colours'
import { criticalPath, type Segment } from './criticalPath'
import { EventsPanel } from './EventsPanel'
import { texts } from './messages'
import { MiniMap } from './MiniMap'
import { buildTrace, isFailed, type Node, type Trace } from './model'
import { PathPanel } from './PathPanel'
import { useTraceEvents } from './queries'
import { prepare, search, visibleRows } from './rows'
import { SpanDetail } from './SpanDetail'
import { Toolbar } from './Toolbar'
import { useTraceState, type Shown } from './useTraceState'
import { Waterfall, type WaterfallHandle } from './Waterfall'

const noEvents: readonly BusinessEvent[] = []

export const TraceView = memo(function TraceView({
  namespace,
  id,
  spans,
  outline,
}: {
  namespace: string
  id: string
  spans: readonly Span[]
  /** The trace with its clocks corrected. */
  outline: Trace
}) {
  const t = useMessages(texts)
  const events = useTraceEvents(namespace, id).data?.events
  const state = useTraceState(outline)
  const { select, show, shown, collapsed } = state
  const raw = useMemo(() => (shown.rawClocks ? buildTrace(spans, false) : undefined), [spans, shown.rawClocks])
  const trace = raw ?? outline
  // The chosen one is of the tree that is shown.
  const selected = useMemo(
    () => state.selected && trace.nodes.find((node) => node.span.spanId === state.selected!.span.spanId),
    [trace, state.selected],
  )
  // All about a span follows the row: who holds a key down sees the rows go by.
  const opened = useDeferredValue(selected)
  const dark = useDark()
  const colour = useMemo(() => colourOf(outline.services, dark), [outline, dark])
  const segments = useMemo(() => (trace.root ? criticalPath(trace.root) : []), [trace])
  const path = useMemo(() => byNode(segments), [segments])
  const { matches, rows, matched } = useRows(trace, shown, collapsed, path)
  const eventsBySpan = useMemo(() => bySpan(events ?? noEvents), [events])
  const box = useRef<InputRef>(null)
  const waterfall = useRef<WaterfallHandle>(null)
  const go = useCallback(
    (node: Node) => {
      show(node)
      select(node)
    },
    [show, select],
  )
  const close = useCallback(() => {
    select(undefined)
    waterfall.current?.focus()
  }, [select])
  const goTo = useCallback(
    (spanId: string) => {
      const node = trace.nodes.find((one) => one.span.spanId === spanId)
      if (node) go(node)
    },
    [trace, go],
  )
  return (
    <>
      <PathPanel segments={segments} colour={colour} select={go} />
      <div className={`g-trace-split${opened ? ' g-trace-open' : ''}`}>
        <Panel
          title={t.waterfall}
          className="g-panel-flush"
          extra={<span className="g-secondary g-num">{t.rows(rows.length, trace.nodes.length)}</span>}
        >
          <Toolbar
            trace={trace}
            state={shown}
            matches={matches}
            at={selected ? matches.indexOf(selected) : -1}
            go={go}
            clocksDiffer={outline.shifted}
            inputRef={box}
          />
          <MiniMap trace={trace} segments={segments} view={shown.view} colour={colour} setView={shown.setView} />
          {rows.length === 0 ? (
            <Empty title={t.noRows} />
          ) : (
            <Waterfall
              trace={trace}
              rows={rows}
              collapsed={collapsed}
              fold={state.fold}
              view={shown.view}
              path={path}
              matched={matched}
              eventsBySpan={eventsBySpan}
              colour={colour}
              selected={selected}
              select={select}
              search={() => box.current?.focus()}
              handle={waterfall}
            />
          )}
          <p id="trace-keys" className="g-secondary g-trace-keys">
            {t.keys}
          </p>
        </Panel>
        {opened && (
          <SpanDetail
            namespace={namespace}
            node={opened}
            epoch={trace.epoch}
            onPath={(path.get(opened) ?? []).reduce((sum, { from, to }) => sum + to - from, 0)}
            events={eventsBySpan.get(opened.span.spanId) ?? noEvents}
            colour={colour(opened.span.service)}
            close={close}
            go={go}
          />
        )}
      </div>
      <div className="g-columns">
        <EventsPanel namespace={namespace} id={id} epoch={trace.epoch} select={goTo} />
        <ChangesPanel namespace={namespace} trace={outline} />
      </div>
    </>
  )
})

function useRows(
  trace: Trace,
  { typed: now, filter }: Shown,
  collapsed: ReadonlySet<string>,
  path: ReadonlyMap<Node, unknown>,
) {
  useEffect(() => {
    prepare(trace)
  }, [trace])
  // Letters show as they are typed, and what they find when there is time.
  const typed = useDeferredValue(now)
  const matches = useMemo(() => search(trace, typed), [trace, typed])
  const rows = useMemo(() => {
    const chosen = {
      all: () => undefined,
      matches: () => (typed ? new Set(matches) : undefined),
      failed: () => new Set(trace.nodes.filter((node) => isFailed(node.span))),
      path: () => new Set(path.keys()),
    }[filter]()
    return visibleRows(trace, collapsed, chosen)
  }, [trace, filter, typed, matches, collapsed, path])
  // Those that do not stand out.
  const matched = useMemo(() => (typed && filter === 'all' ? new Set(matches) : undefined), [typed, filter, matches])
  return { matches, rows, matched }
}

function byNode(segments: readonly Segment[]): Map<Node, Segment[]> {
  const found = new Map<Node, Segment[]>()
  for (const segment of segments) {
    const known = found.get(segment.node)
    if (known) known.push(segment)
    else found.set(segment.node, [segment])
  }
  return found
}

function bySpan(events: readonly BusinessEvent[]): Map<string, BusinessEvent[]> {
  const found = new Map<string, BusinessEvent[]>()
  for (const event of events) {
    const known = found.get(event.spanId)
    if (known) known.push(event)
    else found.set(event.spanId, [event])
  }
  return found
}
