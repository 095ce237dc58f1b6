import { ApartmentOutlined, ExpandOutlined, MinusOutlined, PlusOutlined } from '@ant-design/icons'
import { Panel as Overlay, ReactFlow, ReactFlowProvider, useReactFlow, useStore, type Node } from '@xyflow/react'
import '@xyflow/react/dist/style.css'
import { Button, Tooltip } from 'antd'
import {
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
  type KeyboardEvent,
  type MouseEvent as ReactMouseEvent,
} from 'react'
import { useMessages } from '@/app/i18n'
import { Loading } from '@/ui/Loading'
import { EdgeLayer } from './EdgeLayer'
import { EdgeFigures } from './Figures'
import type { MapEdge, MapGraph } from './graph'
import { nodeHeight, nodeWidth, type Places } from './layered'
import { Legend } from './Legend'
import { lineAt, linesOf } from './lines'
import { texts } from './messages'
import { MiniMap } from './MiniMap'
import { NodeBox, toneOf, type NodeData } from './NodeBox'
import { farBelow, tinyBelow } from './paint'
import { Pointer, usePointed } from './pointer'
import { useBoxes } from './useBoxes'
import { nextNode } from './walk'

const nodeKinds = { box: NodeBox }
/** With more nodes than this the map is one stop of the Tab key, within which the arrow keys walk. */
const nodeStops = 60
/** And from here there is a small map of the whole beside it. */
const miniFrom = 40
/** How near to a line a pointer means it, in pixels. */
const reach = 7

export interface MapViewProps {
  /** Another view is shown from where it fits. */
  view: string
  graph: MapGraph
  /** The edges that are drawn, of those of the graph. */
  edges: readonly MapEdge[]
  dataOf: (id: string) => NodeData
  places: Places | undefined
  arrange: () => void
  bright?: { nodes: ReadonlySet<string>; edges: ReadonlySet<string> }
  selected?: string
  /** By keyboard: what opens then takes the focus. */
  onSelect: (id: string | undefined, byKeyboard?: boolean) => void
}

export default function MapView(props: MapViewProps) {
  return (
    <ReactFlowProvider>
      <Map {...props} />
    </ReactFlowProvider>
  )
}

const nodeOf = (target: EventTarget) => (target as HTMLElement).closest<HTMLElement>('.react-flow__node')

function Map({ view, graph, edges, dataOf, places, arrange, bright, selected, onSelect }: MapViewProps) {
  const t = useMessages(texts)
  const flow = useReactFlow()
  const root = useRef<HTMLDivElement>(null)
  const moving = useRef(false)
  const [pointer] = useState(() => new Pointer())
  const [focused, setFocused] = useState<string>()
  const roving = graph.nodes.length > nodeStops
  const known = (id: string | undefined) => id !== undefined && places?.nodes[id] !== undefined
  const first = useMemo(() => places && firstOf(graph, places), [graph, places])
  const stop = !roving ? undefined : known(focused) ? focused : known(selected) ? selected : first
  const nodes = useBoxes({ graph, dataOf, places, bright, selected, stop })
  const lines = useMemo(() => (places ? linesOf(edges, places) : []), [edges, places])
  const tones = useMemo(
    () => new globalThis.Map(graph.nodes.map(({ id }) => [id, toneOf(dataOf(id))])),
    [graph, dataOf],
  )
  const far = useStore((state) => state.transform[2] < farBelow)
  const tiny = useStore((state) => state.transform[2] < tinyBelow)
  const fit = useCallback(() => void flow.fitView({ padding: 0.06, maxZoom: 1.1, minZoom: 0.15 }), [flow])
  const fitted = useRef<string>(undefined)
  const ready = places !== undefined && nodes.length > 0
  useEffect(() => {
    if (!ready || fitted.current === view) return
    fitted.current = view
    requestAnimationFrame(fit)
    // After an arrangement the places are others.
  }, [ready, view, places, fit])

  const hit = useCallback(
    (event: { clientX: number; clientY: number }) =>
      lineAt(lines, flow.screenToFlowPosition({ x: event.clientX, y: event.clientY }), reach / flow.getZoom())?.edge.id,
    [lines, flow],
  )
  const onPaneMouseMove = useCallback(
    (event: ReactMouseEvent) => {
      if (moving.current) return
      const id = hit(event)
      pointer.set(id)
      root.current?.classList.toggle('g-map-over-line', id !== undefined)
    },
    [hit, pointer],
  )
  const onPaneClick = useCallback((event: ReactMouseEvent) => onSelect(hit(event)), [hit, onSelect])
  const onNodeClick = useCallback((_: unknown, node: Node) => onSelect(node.id), [onSelect])
  const onNodeMouseEnter = useCallback((_: unknown, node: Node) => pointer.set(node.id), [pointer])
  const away = useCallback(() => pointer.set(undefined), [pointer])
  const onMoveStart = useCallback(() => {
    moving.current = true
    root.current?.classList.add('g-map-moving')
  }, [])
  const onMoveEnd = useCallback(() => {
    moving.current = false
    root.current?.classList.remove('g-map-moving')
  }, [])

  /** Brings a node into sight, at the size that is shown. */
  const reveal = (id: string) => {
    const place = places?.nodes[id]
    const box = root.current?.getBoundingClientRect()
    if (!place || !box) return
    const at = flow.flowToScreenPosition(place)
    const zoom = flow.getZoom()
    const inside =
      at.x >= box.left &&
      at.y >= box.top &&
      at.x + nodeWidth * zoom <= box.right &&
      at.y + nodeHeight * zoom <= box.bottom
    if (!inside) void flow.setCenter(place.x + nodeWidth / 2, place.y + nodeHeight / 2, { zoom })
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const id = nodeOf(event.target)?.dataset['id']
    if (event.key === 'Escape') return onSelect(undefined)
    if (!id) return
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault()
      return onSelect(id, true)
    }
    const next = places && nextNode(event.key, id, graph, places)
    if (!next) return
    event.preventDefault()
    root.current
      ?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(next)}"]`)
      ?.focus({ preventScroll: true })
  }
  return (
    <div
      ref={root}
      className={`g-map${far ? ' g-map-far' : ''}${tiny ? ' g-map-tiny' : ''}`}
      role="group"
      aria-label={t.graph}
      onKeyDown={onKeyDown}
      onFocus={(event) => {
        const id = nodeOf(event.target)?.dataset['id']
        if (!id) return
        setFocused(id)
        if (!event.target.matches(':focus-visible')) return
        pointer.set(id)
        reveal(id)
      }}
      onBlur={away}
      onMouseLeave={away}
    >
      {!ready && (
        <div className="g-map-wait" aria-label={t.arranging}>
          <Loading shape="chart" />
        </div>
      )}
      <ReactFlow
        nodes={nodes}
        nodeTypes={nodeKinds}
        minZoom={0.1}
        maxZoom={2}
        nodesDraggable={false}
        nodesConnectable={false}
        elementsSelectable={false}
        nodesFocusable
        disableKeyboardA11y
        zoomOnDoubleClick={false}
        attributionPosition="bottom-center"
        onMoveStart={onMoveStart}
        onMoveEnd={onMoveEnd}
        onNodeClick={onNodeClick}
        onPaneClick={onPaneClick}
        onPaneMouseMove={onPaneMouseMove}
        onPaneMouseLeave={away}
        onNodeMouseEnter={onNodeMouseEnter}
        onNodeMouseLeave={away}
      >
        {places && (
          <EdgeLayer
            lines={lines}
            edges={graph.edges}
            places={places}
            bright={bright?.edges}
            selected={selected}
            pointer={pointer}
          />
        )}
        <Overlay position="bottom-left" className="g-map-tools">
          <Tools
            fit={fit}
            arrange={() => {
              fitted.current = undefined
              arrange()
            }}
          />
        </Overlay>
        <Overlay position="bottom-right" className="g-map-corner">
          {places && nodes.length >= miniFrom && <MiniMap places={places} tones={tones} />}
          <Legend />
        </Overlay>
        <Card edges={edges} selected={selected} pointer={pointer} />
      </ReactFlow>
    </div>
  )
}

/** The node that one comes to first: leftmost, then uppermost. */
function firstOf(graph: MapGraph, places: Places): string | undefined {
  let best: string | undefined
  for (const { id } of graph.nodes) {
    const [here, there] = [places.nodes[id], best && places.nodes[best]]
    if (here && (!there || here.x < there.x || (here.x === there.x && here.y < there.y))) best = id
  }
  return best
}

/** Figures of the edge that is pointed at. */
function Card({ edges, selected, pointer }: Pick<MapViewProps, 'edges' | 'selected'> & { pointer: Pointer }) {
  const pointed = usePointed(pointer)
  const edge = pointed === undefined ? undefined : edges.find((each) => each.id === pointed)
  if (!edge || edge.id === selected) return null
  return (
    <Overlay position="top-right" className="g-map-card">
      <EdgeFigures edge={edge} />
    </Overlay>
  )
}

function Tools({ fit, arrange }: { fit: () => void; arrange: () => void }) {
  const t = useMessages(texts)
  const flow = useReactFlow()
  const tools = [
    { word: t.zoomIn, icon: <PlusOutlined />, run: () => void flow.zoomIn() },
    { word: t.zoomOut, icon: <MinusOutlined />, run: () => void flow.zoomOut() },
    { word: t.fit, icon: <ExpandOutlined />, run: fit },
    {
      word: t.filters.arrange,
      icon: <ApartmentOutlined />,
      run: arrange,
    },
  ]
  return tools.map(({ word, icon, run }) => (
    <Tooltip key={word} title={word} placement="right">
      <Button icon={icon} aria-label={word} onClick={run} />
    </Tooltip>
  ))
}
