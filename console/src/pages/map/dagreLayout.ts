import dagre, { Graph } from '@dagrejs/dagre'
import { layered, nodeHeight, nodeWidth, type Places, type Shape } from './layered'

// dagre leaves room for labels and leads edges around nodes, and takes seconds for a thousand edges, on a map many times as high as wide.
const dagreNodes = 120
const dagreEdges = 240
/** With more edges a node its ways around nodes are all that one sees. */
const dagreDense = 3
const labelledEdges = 120

/** Places for a graph, by dagre while it is small enough. */
export function place(shape: Shape): Places {
  const { length } = shape.edges
  if (shape.nodes.length > dagreNodes || length > dagreEdges || length > shape.nodes.length * dagreDense)
    return layered(shape)
  const graph = new Graph()
  graph.setGraph({ rankdir: 'LR', nodesep: 28, edgesep: 16, ranksep: 24, marginx: 0, marginy: 0 })
  const label = shape.edges.length <= labelledEdges ? { width: 72, height: 20, labelpos: 'c' as const } : {}
  for (const id of shape.nodes) graph.setNode(id, { width: nodeWidth, height: nodeHeight })
  for (const edge of shape.edges) if (edge.source !== edge.target) graph.setEdge(edge.source, edge.target, { ...label })
  dagre.layout(graph)
  const places: Places = { nodes: {}, routes: {} }
  for (const id of shape.nodes) {
    const { x, y } = graph.node(id) as { x: number; y: number }
    places.nodes[id] = { x: Math.round(x - nodeWidth / 2), y: Math.round(y - nodeHeight / 2) }
  }
  for (const edge of shape.edges) {
    if (edge.source === edge.target) continue
    const { points } = graph.edge(edge.source, edge.target) as { points?: { x: number; y: number }[] }
    if (points) places.routes[edge.id] = points.map(({ x, y }) => ({ x: Math.round(x), y: Math.round(y) }))
  }
  return places
}
