import { memo, useEffect, useRef, useState, type PointerEvent } from 'react'
import { useDark } from '@/app/Theme'
import { useMessages } from '@/app/i18n'
import type { Segment } from './criticalPath'
import { texts } from './messages'
import { isFailed, type Node, type Trace } from './model'
import { placeOf, type View } from './view'

const height = 56

/** The whole trace at a glance; a part is chosen by drawing over it. */
export const MiniMap = memo(function MiniMap({
  trace,
  segments,
  view,
  colour,
  setView,
}: {
  trace: Trace
  segments: readonly Segment[]
  view: View
  colour: (service: string) => string
  setView: (view: View | undefined) => void
}) {
  const t = useMessages(texts)
  const canvas = useRef<HTMLCanvasElement>(null)
  const dark = useDark()
  const [drawn, setDrawn] = useState<View>()
  const begun = useRef<number>(undefined)
  useEffect(() => {
    const element = canvas.current!
    const paint = () => draw(element, trace, segments, colour)
    // It tells the first size too.
    const observer = new ResizeObserver(paint)
    observer.observe(element)
    return () => observer.disconnect()
  }, [trace, segments, colour, dark])
  const whole = { from: 0, to: trace.duration }
  const timeAt = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect()
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * trace.duration
  }
  const between = (a: number, b: number): View => ({ from: Math.min(a, b), to: Math.max(a, b) })
  const shown = drawn ?? view
  return (
    <div
      className="g-trace-map"
      role="img"
      aria-label={t.miniMap}
      title={t.miniMap}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId)
        begun.current = timeAt(event)
      }}
      onPointerMove={(event) => {
        if (begun.current !== undefined) setDrawn(between(begun.current, timeAt(event)))
      }}
      onPointerUp={(event) => {
        const chosen = begun.current === undefined ? undefined : between(begun.current, timeAt(event))
        begun.current = undefined
        setDrawn(undefined)
        // A click is no choice.
        if (chosen && chosen.to - chosen.from > trace.duration / 200) setView(chosen)
      }}
      onPointerCancel={() => {
        begun.current = undefined
        setDrawn(undefined)
      }}
      onDoubleClick={() => setView(undefined)}
    >
      <canvas ref={canvas} height={height} />
      <span className="g-trace-shade" style={{ left: 0, width: `${placeOf(shown.from, whole)}%` }} />
      <span className="g-trace-shade" style={{ right: 0, width: `${100 - placeOf(shown.to, whole)}%` }} />
    </div>
  )
})

function draw(
  canvas: HTMLCanvasElement,
  trace: Trace,
  segments: readonly Segment[],
  colour: (service: string) => string,
) {
  const width = canvas.clientWidth
  const context = canvas.getContext('2d')
  if (!context || width === 0) return
  canvas.width = width * devicePixelRatio
  canvas.height = height * devicePixelRatio
  context.scale(devicePixelRatio, devicePixelRatio)
  const style = getComputedStyle(document.documentElement)
  const bad = style.getPropertyValue('--g-bad')
  const across = trace.duration > 0 ? width / trace.duration : 0
  const usable = height - 8
  const step = Math.min(6, usable / Math.max(1, trace.nodes.length))
  const thick = Math.max(1, step * 0.7)
  // Of thousands most lie upon others: what begins where another one began, and does not reach further, would not be told from it.
  const columns = Math.ceil(width * devicePixelRatio) + 1
  const reached = new Map<number, number>()
  const put = (node: Node, tone: string) => {
    const from = node.start * across
    const top = node.index * step + 1
    const long = Math.max(1, (node.end - node.start) * across)
    const pixel = Math.floor(top * devicePixelRatio) * columns + Math.floor(from * devicePixelRatio)
    if ((reached.get(pixel) ?? -1) >= from + long) return
    reached.set(pixel, from + long)
    context.fillStyle = tone
    context.fillRect(from, top, long, thick)
  }
  const failed: Node[] = []
  for (const node of trace.nodes) {
    if (isFailed(node.span)) failed.push(node)
    else put(node, colour(node.span.service))
  }
  reached.clear()
  for (const node of failed) put(node, bad)
  context.fillStyle = style.getPropertyValue('--g-text')
  for (const { from, to } of segments)
    context.fillRect(from * across, height - 4, Math.max(0.5, (to - from) * across - 0.5), 2)
}
