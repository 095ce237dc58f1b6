import { defaultRangeExtractor, useVirtualizer, type Range } from '@tanstack/react-virtual'
import {
  memo,
  useCallback,
  useEffect,
  useImperativeHandle,
  useMemo,
  useRef,
  type CSSProperties,
  type KeyboardEvent,
  type Ref,
} from 'react'
import type { BusinessEvent } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { seconds } from '@/ui/format'
import type { Segment } from './criticalPath'
import { texts } from './messages'
import { isFailed, offsetOf, type Node, type Trace } from './model'
import { activeRow, placesOf, withActive, type Place } from './places'
import { placeOf, ticks, type View } from './view'

const rowHeight = 28
/** More rows than are ever in the document: one that comes into sight takes the elements of one that left. */
const slots = 64
/** Of the axis, which stays above the rows. */
const axisHeight = 24

export interface WaterfallHandle {
  focus: () => void
}

export interface WaterfallProps {
  trace: Trace
  rows: readonly Node[]
  collapsed: ReadonlySet<string>
  fold: (node: Node, closed: boolean) => void
  view: View
  path: ReadonlyMap<Node, readonly Segment[]>
  matched: ReadonlySet<Node> | undefined
  eventsBySpan: ReadonlyMap<string, readonly BusinessEvent[]>
  colour: (service: string) => string
  selected: Node | undefined
  select: (node: Node | undefined, open: boolean) => void
  search: () => void
  handle?: Ref<WaterfallHandle>
}

/** Spans below each other by who called whom, beside each other by time. One element for the keyboard: the row that is chosen is its active descendant. */
export function Waterfall(props: WaterfallProps) {
  const { trace, rows, collapsed, view, selected, handle } = props
  const t = useMessages(texts)
  const scroller = useRef<HTMLDivElement>(null)
  const tree = useRef<HTMLDivElement>(null)
  useImperativeHandle(handle, () => ({ focus: () => tree.current?.focus() }), [])
  const places = useMemo(() => placesOf(rows), [rows])
  const active = activeRow(rows, places, selected)
  const at = active && places.get(active)!.index
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 8,
    scrollPaddingEnd: axisHeight,
    rangeExtractor: useCallback((range: Range) => withActive(defaultRangeExtractor(range), at), [at]),
  })
  const chosenAt = selected && places.get(selected)?.index
  useEffect(() => {
    if (chosenAt !== undefined) virtual.scrollToIndex(chosenAt)
  }, [chosenAt, virtual])
  const onKey = useKeys(props, selected && active, selected ? at! : -1)
  return (
    <div className="g-trace-waterfall" ref={scroller}>
      <Axis view={view} />
      <div
        ref={tree}
        role="tree"
        aria-label={t.waterfall}
        aria-describedby="trace-keys"
        aria-activedescendant={active && `span-${active.index}`}
        tabIndex={0}
        className="g-trace-rows"
        style={{ height: virtual.getTotalSize() }}
        onKeyDown={onKey}
      >
        {virtual.getVirtualItems().map((item) => {
          const node = rows[item.index]!
          return (
            <Row
              key={item.index === at ? 'active' : item.index % slots}
              node={node}
              {...places.get(node)!}
              active={node === active}
              top={item.start}
              view={view}
              closed={node.children.length > 0 ? collapsed.has(node.span.spanId) : undefined}
              chosen={node === selected}
              dim={props.matched !== undefined && !props.matched.has(node)}
              segments={props.path.get(node)}
              events={props.eventsBySpan.get(node.span.spanId)}
              epoch={trace.epoch}
              colour={props.colour(node.span.service)}
              fold={props.fold}
              select={props.select}
            />
          )
        })}
      </div>
    </div>
  )
}

function useKeys(
  { rows, collapsed, fold, select, search }: WaterfallProps,
  /** The row of what is chosen, and where it is. */
  current: Node | undefined,
  at: number,
) {
  return (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const go = (index: number) => select(rows[Math.max(0, Math.min(rows.length - 1, index))], false)
    const closed = current && collapsed.has(current.span.spanId)
    const acts: Record<string, () => void> = {
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at < 0 ? 0 : at - 1),
      PageDown: () => go(at + 20),
      PageUp: () => go(at - 20),
      Home: () => go(0),
      End: () => go(rows.length - 1),
      ArrowRight: () => {
        if (!current || current.children.length === 0) return
        if (closed) fold(current, false)
        else go(at + 1)
      },
      ArrowLeft: () => {
        if (!current) return
        if (current.children.length > 0 && !closed) fold(current, true)
        else if (current.parent) select(current.parent, false)
      },
      Enter: () => select(current ?? rows[0], true),
      Escape: () => select(undefined, false),
      '/': search,
    }
    const act = acts[event.key]
    if (!act) return
    event.preventDefault()
    act()
  }
}

function Axis({ view }: { view: View }) {
  return (
    <div className="g-trace-axis" aria-hidden>
      <span />
      <div className="g-trace-track">
        {ticks(view, 5).map((at) => (
          <span
            key={at}
            // The last one stands before its line: behind it is no room.
            className={`g-num${placeOf(at, view) > 92 ? ' g-trace-last' : ''}`}
            style={{ left: `${placeOf(at, view)}%` }}
          >
            {seconds(at / 1000)}
          </span>
        ))}
      </div>
    </div>
  )
}

const cross = 'M6 0a6 6 0 1 0 0 12A6 6 0 0 0 6 0ZM4.1 3.1 6 5l1.9-1.9 1 1L7 6l1.9 1.9-1 1L6 7 4.1 8.9l-1-1L5 6 3.1 4.1Z'

/** The library's signs look for styles and contexts each time that one is made; a row that is wheeled past has two of them. */
const Sign = ({ path, className }: { path: string; className?: string }) => (
  <svg
    viewBox="0 0 12 12"
    width="12"
    height="12"
    fill="currentColor"
    fillRule="evenodd"
    className={className}
    aria-hidden
  >
    <path d={path} />
  </svg>
)

interface RowProps extends Place {
  node: Node
  top: number
  view: View
  /** Undefined where there is nothing to fold. */
  closed: boolean | undefined
  chosen: boolean
  /** Where the keyboard is. */
  active: boolean
  dim: boolean
  segments: readonly Segment[] | undefined
  events: readonly BusinessEvent[] | undefined
  epoch: number
  colour: string
  fold: (node: Node, closed: boolean) => void
  select: (node: Node | undefined, open: boolean) => void
}

const Row = memo(function Row(props: RowProps) {
  const { node, closed, chosen, active, dim, fold, select, colour } = props
  const { span } = node
  const t = useMessages(texts)
  const failed = isFailed(span)
  const own: CSSProperties & Record<'--g-service', string> = {
    top: props.top,
    height: rowHeight,
    '--g-service': colour,
  }
  const below = closed ? countBelow(node) : 0
  return (
    <div
      id={`span-${node.index}`}
      role="treeitem"
      aria-level={node.depth + 1}
      aria-posinset={props.position}
      aria-setsize={props.of}
      aria-expanded={closed === undefined ? undefined : !closed}
      aria-selected={chosen}
      aria-label={t.row(span.service, span.name, seconds((node.end - node.start) / 1000), span.outcome)}
      className={`g-trace-row${chosen ? ' g-selected' : ''}${active ? ' g-trace-active' : ''}${dim ? ' g-trace-dim' : ''}${failed ? ' g-trace-failed' : ''}`}
      style={own}
      onClick={() => select(node, true)}
    >
      <div className="g-trace-name" style={{ paddingLeft: 4 + Math.min(node.depth, 24) * 10 }}>
        {closed === undefined ? (
          <span className="g-trace-leaf" aria-hidden />
        ) : (
          <button
            type="button"
            tabIndex={-1}
            className="g-trace-fold"
            aria-label={closed ? t.unfold(below) : t.fold}
            onClick={(event) => {
              event.stopPropagation()
              fold(node, !closed)
            }}
          >
            <Sign path={closed ? 'M4 2 9 6 4 10Z' : 'M2 4 6 9 10 4Z'} />
          </button>
        )}
        {failed ? (
          <Sign path={cross} className="g-danger" />
        ) : (
          closed && node.failedBelow && <Sign path={cross} className="g-secondary" />
        )}
        <span className="g-cut" title={`${span.service} ${span.name}`}>
          <strong>{span.service}</strong> {span.name}
        </span>
        {closed && <span className="g-secondary g-num">{t.hidden(below)}</span>}
      </div>
      <Bar {...props} />
    </div>
  )
})

function Bar({ node, view, segments, events, epoch }: RowProps) {
  const from = placeOf(node.start, view)
  const to = placeOf(node.end, view)
  const left = Math.max(0, from)
  const right = Math.min(100, to)
  const inSight = to >= 0 && from <= 100
  // The word stands where there is room: behind the bar, before it, or in it.
  const side = right < 84 ? 'behind' : left > 16 ? 'before' : 'within'
  return (
    <div className="g-trace-track">
      {inSight && (
        <>
          <span className="g-trace-bar" style={{ left: `${left}%`, width: `${Math.max(0, right - left)}%` }} />
          {segments?.map((segment) => {
            const a = Math.max(0, placeOf(segment.from, view))
            const b = Math.min(100, placeOf(segment.to, view))
            return b < a ? null : (
              <span key={segment.from} className="g-trace-path" style={{ left: `${a}%`, width: `${b - a}%` }} />
            )
          })}
          {node.span.events.slice(0, 100).map((event, i) => {
            const at = placeOf(offsetOf(event.at, epoch) + node.shift, view)
            return at < 0 || at > 100 ? null : (
              <span
                key={i}
                className={`g-trace-log${event.name === 'exception' ? ' g-trace-exception' : ''}`}
                style={{ left: `${at}%` }}
                title={event.name}
              />
            )
          })}
          {events?.slice(0, 100).map((event) => {
            const at = placeOf(offsetOf(event.time, epoch) + node.shift, view)
            return (
              <span
                key={event.id}
                className="g-trace-event"
                style={{ left: `${Math.min(100, Math.max(0, at))}%` }}
                title={event.topic}
              />
            )
          })}
          <span
            className={`g-trace-took g-num g-trace-${side}`}
            style={
              side === 'behind'
                ? { left: `${right}%` }
                : side === 'before'
                  ? { right: `${100 - left}%` }
                  : { left: `${left}%` }
            }
          >
            {seconds((node.end - node.start) / 1000)}
          </span>
        </>
      )}
    </div>
  )
}

function countBelow(node: Node): number {
  let count = 0
  const waiting = [...node.children]
  for (let below = waiting.pop(); below; below = waiting.pop()) {
    count++
    waiting.push(...below.children)
  }
  return count
}
