import { Button } from 'antd'
import { lazy, Suspense, useCallback, useMemo, useRef, useState } from 'react'
import type { TopologyResponse } from '@/api/gen/gantry/v1/topology_pb'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { Answer } from '@/ui/Answer'
import { Answered } from '@/ui/Answered'
import { Empty } from '@/ui/Empty'
import { rate } from '@/ui/format'
import { Loading } from '@/ui/Loading'
import { Page } from '@/ui/Page'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { useTimeRange } from '@/ui/timeRange'
import { useChanges, useRegistry, useTopology } from './data'
import { EdgeTable } from './EdgeTable'
import { Filters } from './Filters'
import { around, busyEnough, collapse, defaultLeast, graphOf, lit, type MapGraph } from './graph'
import { texts } from './messages'
import type { NodeData } from './NodeBox'
import { SidePanel } from './SidePanel'
import { momentText, windowMs, type MapState } from './state'
import { TimeTravel } from './TimeTravel'
import { useMapState } from './useMapState'
import { usePlaces } from './usePlaces'
import './map.css'

const MapView = lazy(() => import('./MapView'))
const none: MapGraph = { nodes: [], edges: [] }
/** With more nodes than this their names have no room. */
const tangleAbove = 150

const focusNode = (stage: HTMLElement | null, id: string) =>
  stage?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(id)}"]`)?.focus({ preventScroll: true })

/** Who calls whom, and how that goes: now, or at any moment before. */
export default function TopologyMap() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const range = useTimeRange({ from: '-1h', to: 'now' })
  const { state, set } = useMapState()
  const { answer, before } = useTopology(namespace, state)
  const changes = useChanges(namespace, range)
  return (
    <Page
      title={t.title}
      views="map"
      actions={<TimeRangePicker range={range} />}
      same={{
        command: [
          'topology',
          state.focus,
          '-n',
          namespace,
          ...(state.lane ? ['--lane', state.lane] : []),
          '--since',
          state.at === undefined ? state.window : new Date(state.at - windowMs(state.window)).toISOString(),
          ...(state.at === undefined ? [] : ['--until', new Date(state.at).toISOString()]),
        ],
        call: { method: 'gantry.v1.TopologyService/Topology', message: message(namespace, state) },
      }}
    >
      <TimeTravel
        range={range}
        state={state}
        set={set}
        changes={changes.data?.changes ?? []}
        loading={answer.isFetching && answer.isPlaceholderData}
      />
      <Answer query={answer} shape="chart">
        {(data) => (
          <>
            <Answered about={data.answered} />
            <Shown
              namespace={namespace}
              answer={data}
              before={before.data}
              state={state}
              set={set}
              old={answer.isPlaceholderData}
            />
          </>
        )}
      </Answer>
    </Page>
  )
}

function message(namespace: string, state: MapState) {
  const ms = windowMs(state.window)
  const until = state.at
  const time =
    until === undefined
      ? { since: new Date(Date.now() - ms).toISOString() }
      : { since: new Date(until - ms).toISOString(), until: new Date(until).toISOString() }
  return {
    namespace,
    time,
    ...(state.focus ? { service: state.focus } : {}),
    ...(state.lane ? { lane: state.lane } : {}),
  }
}

interface ShownProps {
  namespace: string
  answer: TopologyResponse
  before: Parameters<typeof graphOf>[1]
  state: MapState
  set: ReturnType<typeof useMapState>['set']
  /** The answer is of another moment: that of this one is on its way. */
  old: boolean
}

/** The rate below which edges are hidden. It stays when figures change: edges at the border must not come and go. */
function useLeast(state: MapState, graph: MapGraph, view: string): number {
  const kept = useRef({ view: '', edges: 0, least: 0 })
  if (state.least !== undefined) return state.least
  const { edges, view: had } = kept.current
  if (had !== view || Math.abs(edges - graph.edges.length) > edges * 0.1)
    kept.current = { view, edges: graph.edges.length, least: defaultLeast(graph.edges, graph.nodes.length) }
  return kept.current.least
}

function Shown({ namespace, answer, before, state, set, old }: ShownProps) {
  const t = useMessages(texts)
  const registry = useRegistry(namespace)
  const whole = useMemo(() => graphOf(answer, before), [answer, before])
  const center =
    whole.nodes.find((node) => node.name === state.focus && node.type === 'service') ??
    whole.nodes.find((node) => node.name === state.focus)
  const graph = useMemo(() => {
    if (state.focus) return center ? around(whole, center.id, state.hops) : none
    return collapse(whole, state.group, state.open)
  }, [whole, center, state.focus, state.hops, state.group, state.open])
  const view = [namespace, state.focus, state.focus ? state.hops : state.group].join('\n')
  const { places, arrange } = usePlaces(view, graph)
  const least = useLeast(state, graph, view)
  const edges = useMemo(() => graph.edges.filter((edge) => busyEnough(edge, least)), [graph, least])
  const bright = useMemo(
    () => lit({ nodes: graph.nodes, edges }, { search: state.search, unwell: state.unwell }),
    [graph, edges, state.search, state.unwell],
  )
  const dataById = useMemo(() => {
    const all = new Map<string, NodeData>()
    for (const node of graph.nodes) {
      const known = node.type === 'service' ? registry.get(node.name) : undefined
      all.set(node.id, {
        node,
        sum: node.sum,
        instances: known && { available: known.available, all: known.all },
      })
    }
    return all
  }, [graph, registry])
  const dataOf = useCallback((id: string) => dataById.get(id)!, [dataById])
  const unwell = graph.edges.filter((edge) => edge.unwell).length
  const [byKeyboard, setByKeyboard] = useState(false)
  const stage = useRef<HTMLDivElement>(null)
  const select = useCallback(
    (id: string | undefined, keyboard = false) => {
      setByKeyboard(keyboard)
      set({ selected: id })
    },
    [set],
  )
  // From the panel back to where it was opened.
  const close = (id: string | undefined) => {
    if (id === undefined && byKeyboard) focusNode(stage.current, state.selected)
    select(id, id !== undefined && byKeyboard)
  }
  const end = state.at
  const time =
    end === undefined
      ? { from: `-${state.window}`, to: 'now' }
      : { from: new Date(end - windowMs(state.window)).toISOString(), to: new Date(end).toISOString() }
  const tableEdges = bright ? edges.filter((edge) => bright.edges.has(edge.id)) : edges
  const tangled = state.group === 'none' && !state.focus && state.view === 'map' && graph.nodes.length > tangleAbove
  const open =
    graph.nodes.some(({ id }) => id === state.selected) || graph.edges.some(({ id }) => id === state.selected)
  return (
    <>
      <Filters
        state={state}
        set={set}
        graph={whole}
        lanes={answer.lanes}
        unwell={unwell}
        least={least}
        found={state.search ? bright?.nodes.size : undefined}
      />
      <div className="g-map-notes g-secondary" role="status">
        {graph.nodes.length > 0 && <span>{t.summary(graph.nodes.length, graph.edges.length, unwell)}</span>}
        {edges.length < graph.edges.length && (
          <span>
            {t.hidden(edges.length, graph.edges.length, rate(least))}{' '}
            <Button size="small" type="link" onClick={() => set({ least: '0' })}>
              {t.showAll}
            </Button>
          </span>
        )}
        {state.unwell && unwell === 0 && <span>{t.nothingUnwell}</span>}
        {state.search && bright?.nodes.size === 0 && <span>{t.nothingFound}</span>}
        {tangled && (
          <span>
            {t.tangle}{' '}
            <Button size="small" type="link" onClick={() => set({ group: 'both', open: undefined })}>
              {t.collapse}
            </Button>
          </span>
        )}
        {state.lane && <strong>{t.inLane(state.lane)}</strong>}
        {!state.focus &&
          state.group !== 'none' &&
          state.open.map((name) => (
            <Button
              key={name}
              size="small"
              type="link"
              onClick={() => set({ open: state.open.filter((other) => other !== name).join(' ') })}
            >
              {t.panel.shut(name)}
            </Button>
          ))}
      </div>
      {graph.nodes.length === 0 ? (
        state.focus ? (
          <Empty title={t.notFound(state.focus)}>
            <p>{t.notFoundText}</p>
            <Button onClick={() => set({ focus: undefined })}>{t.filters.everything}</Button>
          </Empty>
        ) : state.lane ? (
          <Empty title={t.emptyLane(state.lane)}>
            <p>{t.emptyLaneText(answer.lanes.join(', '))}</p>
            <Button onClick={() => set({ lane: undefined })}>{t.filters.allLanes}</Button>
          </Empty>
        ) : end !== undefined ? (
          <Empty title={t.emptyThen(state.window, momentText(end))}>
            <p>{t.emptyThenText}</p>
            <Button onClick={() => set({ at: undefined })}>{t.time.goLive}</Button>
          </Empty>
        ) : (
          <Empty title={t.empty}>{t.emptyText}</Empty>
        )
      ) : (
        <div
          ref={stage}
          className={`g-map-stage${open ? ' g-map-open' : ''}${end === undefined ? '' : ' g-map-past'}${old ? ' g-map-old' : ''}`}
          aria-busy={old}
        >
          {state.view === 'table' ? (
            <section className="g-panel">
              <EdgeTable edges={tableEdges} selected={state.selected} onSelect={select} />
            </section>
          ) : (
            <Suspense fallback={<Loading shape="chart" />}>
              <MapView
                view={view}
                graph={graph}
                edges={edges}
                dataOf={dataOf}
                places={places}
                arrange={arrange}
                bright={bright}
                selected={state.selected}
                onSelect={select}
              />
            </Suspense>
          )}
          <SidePanel
            namespace={namespace}
            graph={graph}
            selected={state.selected}
            registry={registry}
            lane={state.lane}
            takesFocus={byKeyboard}
            onOpen={(group) => set({ open: [...state.open, group].join(' '), selected: undefined })}
            time={time}
            focused={center?.id === state.selected}
            onFocus={(name) => set({ focus: name })}
            onSelect={close}
          />
        </div>
      )}
    </>
  )
}
