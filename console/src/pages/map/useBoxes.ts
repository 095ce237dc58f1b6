import { useMemo, useState } from 'react'
import { useMessages } from '@/app/i18n'
import { rate, seconds, share } from '@/ui/format'
import { failedShare, type MapGraph } from './graph'
import { nodeHeight, nodeWidth, type Places } from './layered'
import { texts } from './messages'
import { toneOf, type BoxNode, type NodeData } from './NodeBox'

export interface Boxes {
  graph: MapGraph
  dataOf: (id: string) => NodeData
  places: Places | undefined
  bright?: { nodes: ReadonlySet<string> }
  selected?: string
  /** The only stop of the Tab key; undefined makes all of them stops. */
  stop?: string
}

/** In the order in which one reads: column by column from the left, each from above. */
const inReadingOrder = (places: Places) => (a: string, b: string) => {
  const [p, q] = [places.nodes[a]!, places.nodes[b]!]
  return p.x - q.x || p.y - q.y || (a < b ? -1 : 1)
}

/** The nodes as they are drawn. One that shows the same as before is the same object: a new figure makes only that node anew which shows it. */
export function useBoxes({ graph, dataOf, places, bright, selected, stop }: Boxes): BoxNode[] {
  const t = useMessages(texts)
  const [kept] = useState(() => new Map<string, { key: string; box: BoxNode }>())
  return useMemo(() => {
    if (!places) return []
    const ids = graph.nodes.map(({ id }) => id).filter((id) => places.nodes[id])
    const boxes = ids.sort(inReadingOrder(places)).map((id): BoxNode => {
      const data = dataOf(id)
      const { node, sum, instances } = data
      const words = [
        node.members.length > 0 ? t.groupOf(node.name, node.members.length) : node.name,
        t.types[node.type],
        rate(sum.rate),
        `${share(failedShare(sum))} ${t.figures.errors}`,
        `p95 ${seconds(sum.p95)}`,
      ]
      if (node.unwell) words.push(t.unwellWords[node.unwell])
      if (instances) words.push(t.available(instances.available, instances.all))
      const ariaLabel = words.join(', ')
      const position = places.nodes[id]!
      const className = bright && !bright.nodes.has(id) ? 'g-map-dim' : undefined
      const tone = toneOf(data)
      const look = [sum.failed > 0, sum.calls > 0, tone].join()
      const tabs = stop === undefined || stop === id
      const shown = [ariaLabel, look].join('\n')
      const key = [shown, position.x, position.y, className, id === selected, tabs].join('\n')
      const had = kept.get(id)
      if (had?.key === key) return had.box
      const box: BoxNode = {
        id,
        type: 'box',
        position,
        // What is drawn inside stays when only its place or its light is another.
        data: had?.box.data.shown === shown ? had.box.data : { ...data, shown },
        width: nodeWidth,
        height: nodeHeight,
        selected: id === selected,
        ariaLabel,
        ariaRole: 'button',
        domAttributes: { tabIndex: tabs ? 0 : -1, 'aria-roledescription': undefined, 'aria-pressed': id === selected },
        // Its name may reach over its neighbours.
        zIndex: tone ? 1 : 0,
        className,
      }
      kept.set(id, { key, box })
      return box
    })
    for (const id of kept.keys()) if (!places.nodes[id]) kept.delete(id)
    return boxes
  }, [graph, dataOf, places, bright, selected, stop, t, kept])
}
