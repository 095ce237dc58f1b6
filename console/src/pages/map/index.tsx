import { Alert, Button } from 'antd'
import { lazy, Suspense, useCallback, useMemo, useRef } from 'react'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { Answer } from '@/ui/Answer'
import { Answered } from '@/ui/Answered'
import { Empty } from '@/ui/Empty'
import { clock, dateTime, rate } from '@/ui/format'
import { Loading } from '@/ui/Loading'
import { Page } from '@/ui/Page'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { useTimeRange } from '@/ui/timeRange'
import { useChanges, useLanes, useRegistry, useTopology } from './data'
import { EdgeTable } from './EdgeTable'
import { Filters } from './Filters'
import { around, busyEnough, collapse, defaultLeast, graphOf, idOf, lit, type MapGraph, type Sum } from './graph'
import { texts } from './messages'
import type { NodeData } from './NodeBox'
import { SidePanel } from './SidePanel'
import { windowMs, type MapState } from './state'
import { TimeTravel } from './TimeTravel'
import { useMapState } from './useMapState'
import { usePlaces } from './usePlaces'
import './map.css'

const MapView = lazy(() => import('./MapView'))
const none: MapGraph = { nodes: [], edges: [] }

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
            <Shown namespace={namespace} answer={data} before={before.data} state={state} set={set} />
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
  return { namespace, time, ...(state.focus ? { service: state.focus } : {}) }
}

interface ShownProps {
  namespace: string
  answer: Parameters<typeof graphOf>[0]
  before: Parameters<typeof graphOf>[1]
  state: MapState
  set: ReturnType<typeof useMapState>['set']
}

/** The rate below which edges are hidden. It stays when figures change: edges at the border must not come and go. */
function useLeast(state: MapState, graph: MapGraph, view: string): number {
  const kept = useRef({ view: '', edges: 0, least: 0 })
  if (state.least !== undefined) return state.least
  const { edges, view: had } = kept.current
  if (had !== view || Math.abs(edges - graph.edges.length) > edges * 0.1)
    kept.current = { view, edges: graph.edges.length, least: defaultLeast(graph.edges) }
  return kept.current.least
}

function Shown({ namespace, answer, before, state, set }: ShownProps) {
  const t = useMessages(texts)
  const registry = useRegistry(namespace)
  const lanes = useLanes(namespace, state)
  const whole = useMemo(() => graphOf(answer, before), [answer, before])
  const center =
    whole.nodes.find((node) => node.name === state.focus && node.type === 'service') ??
    whole.nodes.find((node) => node.name === state.focus)
  const graph = useMemo(() => {
    if (state.focus) return center ? around(whole, center.id, state.hops) : none
    return collapse(whole, state.group)
  }, [whole, center, state.focus, state.hops, state.group])
  const view = [namespace, state.focus, state.focus ? state.hops : state.group].join('\n')
  const { places, arrange } = usePlaces(view, graph)
  const least = useLeast(state, graph, view)
  const edges = useMemo(() => graph.edges.filter((edge) => busyEnough(edge, least)), [graph, least])
  const lane = useMemo(
    () => (state.lane ? (lanes.get(state.lane) ?? new Map<string, Sum>()) : undefined),
    [lanes, state.lane],
  )
  const bright = useMemo(
    () =>
      lit(
        { nodes: graph.nodes, edges },
        {
          search: state.search,
          unwell: state.unwell,
          lane: lane && new Set([...lane.keys()].map((name) => idOf('service', name))),
        },
      ),
    [graph, edges, state.search, state.unwell, lane],
  )
  const dataById = useMemo(() => {
    const all = new Map<string, NodeData>()
    for (const node of graph.nodes) {
      const known = node.type === 'service' ? registry.get(node.name) : undefined
      all.set(node.id, {
        node,
        sum: (node.type === 'service' && lane?.get(node.name)) || node.sum,
        instances: known && { available: known.available, all: known.all },
      })
    }
    return all
  }, [graph, registry, lane])
  const dataOf = useCallback((id: string) => dataById.get(id)!, [dataById])
  const unwell = graph.edges.filter((edge) => edge.unwell).length
  const select = useCallback((id: string | undefined) => set({ selected: id }), [set])
  const end = state.at
  const time =
    end === undefined
      ? { from: `-${state.window}`, to: 'now' }
      : { from: new Date(end - windowMs(state.window)).toISOString(), to: new Date(end).toISOString() }
  const tableEdges = bright ? edges.filter((edge) => bright.edges.has(edge.id)) : edges
  const open =
    graph.nodes.some(({ id }) => id === state.selected) || graph.edges.some(({ id }) => id === state.selected)
  return (
    <>
      <Filters
        state={state}
        set={set}
        graph={whole}
        lanes={[...lanes.keys()].sort()}
        unwell={unwell}
        least={least}
        found={state.search ? bright?.nodes.size : undefined}
      />
      <div className="g-map-notes g-secondary" role="status">
        <span>{t.summary(graph.nodes.length, graph.edges.length, unwell)}</span>
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
        {end !== undefined && (
          <strong>
            {t.time.upTo(Date.now() - end < 86400_000 ? clock(new Date(end)) : dateTime(new Date(end)), state.window)}
          </strong>
        )}
      </div>
      {state.lane && <Alert type="info" showIcon title={t.filters.laneNote(state.lane)} />}
      {graph.nodes.length === 0 ? (
        state.focus ? (
          <Empty title={t.notFound(state.focus)}>
            <p>{t.notFoundText}</p>
            <Button onClick={() => set({ focus: undefined })}>{t.filters.everything}</Button>
          </Empty>
        ) : (
          <Empty title={t.empty}>{t.emptyText}</Empty>
        )
      ) : (
        <div className={`g-map-stage${open ? ' g-map-open' : ''}`}>
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
            laneSum={lane?.get(state.selected.replace(/^service\//, ''))}
            time={time}
            focused={center?.id === state.selected}
            onFocus={(name) => set({ focus: name })}
            onSelect={select}
          />
        </div>
      )}
    </>
  )
}
