import type { InputRef } from 'antd'
import { useCallback, useMemo, useRef } from 'react'
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
import { search, visibleRows } from './rows'
import { SpanDetail } from './SpanDetail'
import { Toolbar } from './Toolbar'
import { useTraceState, type TraceState } from './useTraceState'
import { Waterfall, type WaterfallHandle } from './Waterfall'

export function TraceView({
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
  const events = useTraceEvents(namespace, id)
  const state = useTraceState(outline)
  const raw = useMemo(() => (state.rawClocks ? buildTrace(spans, false) : undefined), [spans, state.rawClocks])
  const trace = raw ?? outline
  // The chosen one is of the tree that is shown.
  const selected = state.selected && trace.nodes.find((node) => node.span.spanId === state.selected!.span.spanId)
  const dark = useDark()
  const colour = useMemo(() => colourOf(outline.services, dark), [outline, dark])
  const segments = useMemo(() => (trace.root ? criticalPath(trace.root) : []), [trace])
  const path = useMemo(() => byNode(segments), [segments])
  const { matches, rows } = useRows(trace, state, path)
  const eventsBySpan = useMemo(() => bySpan(events.data?.events ?? []), [events.data])
  const box = useRef<InputRef>(null)
  const waterfall = useRef<WaterfallHandle>(null)
  const { select: put, show } = state
  const select = useCallback((node: Node | undefined) => put(node), [put])
  const go = useCallback(
    (node: Node) => {
      show(node)
      put(node)
    },
    [show, put],
  )
  return (
    <>
      <PathPanel segments={segments} colour={colour} select={go} />
      <div className={`g-trace-split${selected ? ' g-trace-open' : ''}`}>
        <Panel
          title={t.waterfall}
          className="g-panel-flush"
          extra={<span className="g-secondary g-num">{t.rows(rows.length, trace.nodes.length)}</span>}
        >
          <Toolbar
            trace={trace}
            state={{ ...state, selected }}
            matches={matches}
            go={go}
            clocksDiffer={outline.shifted}
            inputRef={box}
          />
          <MiniMap trace={trace} segments={segments} view={state.view} colour={colour} setView={state.setView} />
          {rows.length === 0 ? (
            <Empty title={t.noRows} />
          ) : (
            <Waterfall
              trace={trace}
              rows={rows}
              collapsed={state.collapsed}
              fold={state.fold}
              view={state.view}
              path={path}
              matched={state.typed && state.filter === 'all' ? new Set(matches) : undefined}
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
        {selected && (
          <SpanDetail
            namespace={namespace}
            node={selected}
            epoch={trace.epoch}
            onPath={(path.get(selected) ?? []).reduce((sum, { from, to }) => sum + to - from, 0)}
            events={eventsBySpan.get(selected.span.spanId) ?? []}
            colour={colour(selected.span.service)}
            close={() => {
              select(undefined)
              waterfall.current?.focus()
            }}
            go={go}
          />
        )}
      </div>
      <div className="g-columns">
        <EventsPanel
          namespace={namespace}
          events={events}
          epoch={trace.epoch}
          select={(spanId) => {
            const node = trace.nodes.find((one) => one.span.spanId === spanId)
            if (node) go(node)
          }}
        />
        <ChangesPanel namespace={namespace} trace={outline} />
      </div>
    </>
  )
}

function useRows(trace: Trace, state: TraceState, path: ReadonlyMap<Node, unknown>) {
  const { typed, filter, collapsed } = state
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
  return { matches, rows }
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
