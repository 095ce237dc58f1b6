import { useEffect, useMemo, useRef, useState } from 'react'
import type { MapGraph } from './graph'
import { layered, placeNew, type Places, type Shape } from './layered'

/** More new nodes than this share of the map, and it is arranged anew. */
const newShare = 0.3

const shapeOf = (graph: MapGraph): Shape => ({
  nodes: graph.nodes.map((node) => node.id),
  edges: graph.edges.map(({ id, source, target }) => ({ id, source, target })),
})

/** Lays out in a worker, one question at a time: of several the last counts. */
class Layouter {
  private worker: Worker | undefined
  private asked = 0

  constructor() {
    try {
      this.worker = new Worker(new URL('./layout.worker.ts', import.meta.url), { type: 'module' })
    } catch {
      // Without workers the simple layout does, at once.
    }
  }

  ask(shape: Shape, answer: (places: Places) => void) {
    const worker = this.worker
    const ask = ++this.asked
    if (!worker) return answer(layered(shape))
    worker.onmessage = (event: MessageEvent<{ ask: number; places: Places }>) => {
      if (event.data.ask === this.asked) answer(event.data.places)
    }
    worker.onerror = () => {
      this.worker = undefined
      worker.terminate()
      if (ask === this.asked) answer(layered(shape))
    }
    worker.postMessage({ ask, shape })
  }

  end() {
    this.asked++
    this.worker?.terminate()
  }
}

/**
 * Where the nodes of a graph are. What has a place keeps it when figures change, when nodes come and go, and when one comes back to a view (its name is the
 * key); arrange makes all places anew.
 */
export function usePlaces(view: string, graph: MapGraph): { places: Places | undefined; arrange: () => void } {
  const [known, setKnown] = useState<ReadonlyMap<string, Places>>(new Map())
  const layouter = useRef<Layouter>(null)
  const signature = useMemo(
    () => [...graph.nodes.map((n) => n.id), '', ...graph.edges.map((e) => e.id)].join('\n'),
    [graph],
  )
  // The graph changes with every figure; its shape only with its signature.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const shape = useMemo(() => shapeOf(graph), [signature])
  const [anew, setAnew] = useState(0)
  const arranged = useRef(0)
  useEffect(
    () => () => {
      layouter.current?.end()
      layouter.current = null
    },
    [],
  )
  useEffect(() => {
    if (shape.nodes.length === 0) return
    const keep = (places: Places) => setKnown((old) => new Map(old).set(view, places))
    const had = known.get(view)
    const missing = had ? shape.nodes.filter((id) => !had.nodes[id]) : shape.nodes
    const wanted = arranged.current !== anew
    if (had && missing.length === 0 && !wanted) return
    if (had && !wanted && missing.length <= Object.keys(had.nodes).length * newShare) {
      keep({ nodes: placeNew(shape, had.nodes), routes: had.routes })
      return
    }
    arranged.current = anew
    layouter.current ??= new Layouter()
    layouter.current.ask(shape, keep)
  }, [view, shape, known, anew])
  return { places: known.get(view), arrange: () => setAnew((n) => n + 1) }
}
