import { useReactFlow, useStoreApi } from '@xyflow/react'
import { useEffect, useMemo, useRef, type PointerEvent } from 'react'
import { useDark } from '@/app/Theme'
import { nodeHeight, nodeWidth, type Places } from './layered'
import { boundsOf } from './lines'
import { colours } from './paint'

const width = 168
const height = 104
const margin = 6

/** The whole map, small, with what is seen of it. A press goes there. It shows no more than the map does: the keyboard and screen readers have that. */
export function MiniMap({ places, tones }: { places: Places; tones: ReadonlyMap<string, 'bad' | 'warn' | undefined> }) {
  const flow = useReactFlow()
  const store = useStoreApi()
  const dark = useDark()
  const canvas = useRef<HTMLCanvasElement>(null)
  const frame = useRef<HTMLDivElement>(null)
  const root = useRef<HTMLDivElement>(null)
  const scale = useMemo(() => {
    const bounds = boundsOf(places)
    const zoom = Math.min(
      (width - 2 * margin) / Math.max(1, bounds.right - bounds.left),
      (height - 2 * margin) / Math.max(1, bounds.bottom - bounds.top),
    )
    return {
      bounds,
      zoom,
      left: width / 2 - ((bounds.left + bounds.right) / 2) * zoom,
      top: height / 2 - ((bounds.top + bounds.bottom) / 2) * zoom,
    }
  }, [places])
  useEffect(() => {
    const element = canvas.current!
    const ratio = Math.min(2, devicePixelRatio)
    element.width = width * ratio
    element.height = height * ratio
    const drawing = requestAnimationFrame(() => {
      const context = element.getContext('2d')!
      const { line, bad, warn } = colours()
      context.setTransform(ratio, 0, 0, ratio, 0, 0)
      context.clearRect(0, 0, width, height)
      const one = (id: string, more: number) => {
        const { x, y } = places.nodes[id]!
        context.fillRect(
          x * scale.zoom + scale.left - more,
          y * scale.zoom + scale.top - more,
          Math.max(2, nodeWidth * scale.zoom) + 2 * more,
          Math.max(1.5, nodeHeight * scale.zoom) + 2 * more,
        )
      }
      context.fillStyle = line
      context.globalAlpha = 0.45
      for (const [id, tone] of tones) if (!tone && places.nodes[id]) one(id, 0)
      context.globalAlpha = 1
      // What is unwell is larger, not only of another colour.
      for (const [id, tone] of tones)
        if (tone && places.nodes[id]) {
          context.fillStyle = tone === 'bad' ? bad : warn
          one(id, 1.5)
        }
    })
    return () => cancelAnimationFrame(drawing)
  }, [places, tones, scale, dark])
  useEffect(() => {
    const move = () => {
      const { transform, width: wide, height: high } = store.getState()
      const [x, y, zoom] = transform
      const size = scale.zoom / zoom
      const { left, top, right, bottom } = scale.bounds
      // Of what is all in sight nobody needs a second picture.
      root.current!.hidden =
        left * zoom + x >= 0 && top * zoom + y >= 0 && right * zoom + x <= wide && bottom * zoom + y <= high
      Object.assign(frame.current!.style, {
        transform: `translate(${scale.left - x * size}px, ${scale.top - y * size}px)`,
        width: `${wide * size}px`,
        height: `${high * size}px`,
      })
    }
    move()
    return store.subscribe((now, before) => {
      if (now.transform !== before.transform || now.width !== before.width || now.height !== before.height) move()
    })
  }, [store, scale])
  const go = (event: PointerEvent<HTMLDivElement>) => {
    if (event.buttons !== 1) return
    const box = event.currentTarget.getBoundingClientRect()
    const x = (event.clientX - box.left - scale.left) / scale.zoom
    const y = (event.clientY - box.top - scale.top) / scale.zoom
    void flow.setCenter(x, y, { zoom: Math.max(flow.getZoom(), 0.1) })
  }
  return (
    <div
      ref={root}
      className="g-map-mini"
      aria-hidden
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId)
        go(event)
      }}
      onPointerMove={go}
    >
      <canvas ref={canvas} />
      <div ref={frame} className="g-map-mini-frame" />
    </div>
  )
}
