import { ApartmentOutlined, ExpandOutlined, MinusOutlined, PlusOutlined } from '@ant-design/icons'
import { Panel as Overlay, ReactFlow, ReactFlowProvider, useReactFlow, useStore } from '@xyflow/react'
import '@xyflow/react/dist/style.css'
import { Button, Tooltip } from 'antd'
import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent } from 'react'
import { useMessages } from '@/app/i18n'
import { rate, seconds, share } from '@/ui/format'
import { Loading } from '@/ui/Loading'
import { Arrows, EdgeLine, type LineEdge } from './EdgeLine'
import { EdgeFigures } from './Figures'
import { failedShare, type MapEdge, type MapGraph } from './graph'
import { nodeHeight, nodeWidth, type Places } from './layered'
import { Legend } from './Legend'
import { texts } from './messages'
import { NodeBox, type BoxNode, type NodeData } from './NodeBox'
import { nextNode } from './walk'

const nodeKinds = { box: NodeBox }
const edgeKinds = { line: EdgeLine }
/** With more edges than this they are no stops of the Tab key: the table has them all. */
const edgeStops = 120
/** Farther away than this, names are drawn large and figures not at all. */
const farBelow = 0.6
/** And from here there is room for names and signs alone. */
const tinyBelow = 0.35
const labelsBelow = 60

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
  onSelect: (id: string | undefined) => void
}

export default function MapView(props: MapViewProps) {
  return (
    <ReactFlowProvider>
      <Map {...props} />
    </ReactFlowProvider>
  )
}

function useNodes({ graph, dataOf, places, bright, selected }: MapViewProps): BoxNode[] {
  const t = useMessages(texts)
  return useMemo(() => {
    if (!places) return []
    return graph.nodes.flatMap((node): BoxNode[] => {
      const position = places.nodes[node.id]
      if (!position) return []
      const data = dataOf(node.id)
      const { sum } = data
      const words = [
        node.name,
        t.types[node.type],
        rate(sum.rate),
        `${share(failedShare(sum))} ${t.figures.errors}`,
        `p95 ${seconds(sum.p95)}`,
      ]
      if (node.unwell) words.push(t.unwellWords[node.unwell])
      if (data.instances) words.push(t.available(data.instances.available, data.instances.all))
      return [
        {
          id: node.id,
          type: 'box',
          position,
          data,
          width: nodeWidth,
          height: nodeHeight,
          handles: [
            { type: 'target', position: 'left', x: 0, y: nodeHeight / 2, width: 1, height: 1 },
            { type: 'source', position: 'right', x: nodeWidth, y: nodeHeight / 2, width: 1, height: 1 },
          ] as BoxNode['handles'],
          selected: node.id === selected,
          ariaLabel: words.join(', '),
          className: bright && !bright.nodes.has(node.id) ? 'g-map-dim' : undefined,
        },
      ]
    })
  }, [graph, dataOf, places, bright, selected, t])
}

function useEdges({ edges, places, bright, selected }: MapViewProps): LineEdge[] {
  const t = useMessages(texts)
  return useMemo(() => {
    if (!places) return []
    const few = edges.length <= edgeStops
    return edges.map((edge): LineEdge => {
      const ofSelected = edge.id === selected || edge.source === selected || edge.target === selected
      const dim = bright && !bright.edges.has(edge.id)
      return {
        id: edge.id,
        type: 'line',
        source: edge.source,
        target: edge.target,
        data: { edge, route: places.routes[edge.id] },
        focusable: few,
        // What is unwell lies above the rest.
        zIndex: edge.unwell || ofSelected ? 1 : 0,
        className: `${dim ? 'g-map-dim' : ''}${ofSelected ? ' g-map-lit' : ''}`,
        ariaLabel: `${edge.parts[0]!.caller} → ${edge.parts[0]!.callee}, ${rate(edge.sum.rate)}, ${share(failedShare(edge.sum))} ${t.figures.errors}, p95 ${seconds(edge.sum.p95)}${edge.unwell ? `, ${t.unwellWords[edge.unwell]}` : ''}`,
      }
    })
  }, [edges, places, bright, selected, t])
}

function Map(props: MapViewProps) {
  const { view, graph, edges, places, arrange, selected, onSelect } = props
  const t = useMessages(texts)
  const flow = useReactFlow()
  const root = useRef<HTMLDivElement>(null)
  const [pointed, setPointed] = useState<string>()
  const nodes = useNodes(props)
  const lines = useEdges(props)
  // What is pointed at shines: only the few edges that are concerned are made anew.
  const shown = useMemo(() => {
    if (!pointed) return lines
    return lines.map((line) =>
      line.id === pointed || line.source === pointed || line.target === pointed
        ? { ...line, className: `${line.className ?? ''} g-map-lit`, zIndex: 2 }
        : line,
    )
  }, [lines, pointed])
  const far = useStore((state) => state.transform[2] < farBelow)
  const tiny = useStore((state) => state.transform[2] < tinyBelow)
  const close = useStore((state) => state.transform[2] >= 0.9)
  const fit = useCallback(() => void flow.fitView({ padding: 0.06, maxZoom: 1.1, minZoom: 0.15 }), [flow])
  const fitted = useRef<string>(undefined)
  const ready = places !== undefined && nodes.length > 0
  useEffect(() => {
    if (!ready || fitted.current === view) return
    fitted.current = view
    requestAnimationFrame(fit)
    // After an arrangement the places are others.
  }, [ready, view, places, fit])
  const edge = pointed === undefined ? undefined : edges.find((each) => each.id === pointed)
  const onKeyDown = (event: KeyboardEvent) => {
    const element = (event.target as HTMLElement).closest<HTMLElement>('.react-flow__node, .react-flow__edge')
    const id = element?.dataset['id']
    if (event.key === 'Escape') return onSelect(undefined)
    if (!id) return
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault()
      return onSelect(id)
    }
    const next = places && nextNode(event.key, id, graph, places)
    if (!next) return
    event.preventDefault()
    root.current?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(next)}"]`)?.focus()
  }
  const moving = (yes: boolean) => root.current?.classList.toggle('g-map-moving', yes)
  return (
    <div
      ref={root}
      className={`g-map${far ? ' g-map-far' : ''}${tiny ? ' g-map-tiny' : ''}${pointed ? ' g-map-pointing' : ''}${edges.length <= labelsBelow || close ? ' g-map-labels' : ''}`}
      role="group"
      aria-label={t.graph}
      onKeyDown={onKeyDown}
      onFocus={(event) => {
        const id = event.target.closest<HTMLElement>('.react-flow__node, .react-flow__edge')?.dataset['id']
        if (id && event.target.matches(':focus-visible')) setPointed(id)
      }}
      onBlur={() => setPointed(undefined)}
    >
      {!ready && (
        <div className="g-map-wait" aria-label={t.arranging}>
          <Loading shape="chart" />
        </div>
      )}
      <Arrows />
      <ReactFlow
        nodes={nodes}
        edges={shown}
        nodeTypes={nodeKinds}
        edgeTypes={edgeKinds}
        minZoom={0.1}
        maxZoom={2}
        nodesDraggable={false}
        nodesConnectable={false}
        elementsSelectable={false}
        nodesFocusable
        disableKeyboardA11y
        zoomOnDoubleClick={false}
        attributionPosition="bottom-center"
        onMoveStart={() => moving(true)}
        onMoveEnd={() => moving(false)}
        onNodeClick={(_, node) => onSelect(node.id)}
        onEdgeClick={(_, line) => onSelect(line.id)}
        onPaneClick={() => onSelect(undefined)}
        onNodeMouseEnter={(_, node) => setPointed(node.id)}
        onNodeMouseLeave={() => setPointed(undefined)}
        onEdgeMouseEnter={(_, line) => setPointed(line.id)}
        onEdgeMouseLeave={() => setPointed(undefined)}
      >
        <Overlay position="bottom-left" className="g-map-tools">
          <Tools
            fit={fit}
            arrange={() => {
              fitted.current = undefined
              arrange()
            }}
          />
        </Overlay>
        <Overlay position="bottom-right">
          <Legend />
        </Overlay>
        {edge && edge.id !== selected && (
          <Overlay position="top-right" className="g-map-card">
            <EdgeFigures edge={edge} />
          </Overlay>
        )}
      </ReactFlow>
    </div>
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
