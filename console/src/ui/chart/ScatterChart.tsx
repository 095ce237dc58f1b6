import { useMemo, useRef, useState } from 'react'
import uPlot from 'uplot'
import { useDark } from '@/app/Theme'
import type { ScatterProps } from '../Scatter'
import { nearest } from '../summary'
import { colours, markersPlugin, timeAxis, useChart } from './useChart'

const reach = 12

export default function ScatterChart({
  dots,
  from,
  to,
  format,
  markers = [],
  height = 240,
  onOpen,
  onSelect,
}: ScatterProps) {
  const dark = useDark()
  const [pointed, setPointed] = useState<{ index: number; x: number; y: number }>()
  const shown = useRef({ dots, markers, format, onOpen, onSelect, from, to })
  shown.current = { dots, markers, format, onOpen, onSelect, from, to }
  const data = useMemo<uPlot.AlignedData>(() => {
    // uPlot wants times in their order; the dots themselves are drawn from their own list.
    const ordered = [...dots].sort((a, b) => a.at.getTime() - b.at.getTime())
    return [ordered.map((dot) => dot.at.getTime() / 1000), ordered.map((dot) => dot.value)]
  }, [dots])
  const place = useChart(
    (width) => {
      const colour = colours()
      const axis = {
        stroke: colour.text,
        font: colour.font,
        grid: { stroke: colour.grid, width: 1 },
        ticks: { show: false },
      }
      const find = (plot: uPlot) => {
        const { left = -1, top = -1 } = plot.cursor
        if (left < 0) return undefined
        const points = shown.current.dots.map((dot) => ({
          x: plot.valToPos(dot.at.getTime() / 1000, 'x'),
          y: plot.valToPos(dot.value, 'y'),
        }))
        const index = nearest(points, left, top, reach)
        return index === undefined ? undefined : { index, x: points[index]!.x, y: points[index]!.y }
      }
      return {
        width,
        height,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false } },
        scales: {
          x: { range: () => [shown.current.from.getTime() / 1000, shown.current.to.getTime() / 1000] },
          y: { distr: 3, range: (_plot, least, most) => [least > 0 ? least / 1.5 : 1e-4, most > 0 ? most * 1.5 : 1] },
        },
        axes: [
          { ...axis, size: 28, values: timeAxis, space: 72 },
          {
            ...axis,
            size: 64,
            values: (_plot, splits) => splits.map((value) => (value === null ? null : shown.current.format(value))),
          },
        ],
        series: [{}, { paths: () => null, points: { show: false } }],
        plugins: [
          markersPlugin(() => shown.current.markers, colour.warn),
          {
            hooks: {
              draw: (plot) => {
                const { ctx } = plot
                const size = 3.5 * devicePixelRatio
                ctx.save()
                ctx.globalAlpha = 0.75
                for (const dot of shown.current.dots) {
                  if (dot.value <= 0) continue
                  const x = plot.valToPos(dot.at.getTime() / 1000, 'x', true)
                  const y = plot.valToPos(dot.value, 'y', true)
                  ctx.fillStyle = colour[dot.tone]
                  ctx.beginPath()
                  // What failed is a square, what was refused a triangle: not told by their colour alone.
                  if (dot.tone === 'bad') ctx.rect(x - size, y - size, 2 * size, 2 * size)
                  else if (dot.tone === 'warn') {
                    ctx.moveTo(x, y - size * 1.2)
                    ctx.lineTo(x + size * 1.2, y + size)
                    ctx.lineTo(x - size * 1.2, y + size)
                  } else ctx.arc(x, y, size, 0, 2 * Math.PI)
                  ctx.fill()
                }
                ctx.restore()
              },
              setCursor: (plot) => setPointed(find(plot)),
              ready: (plot) => {
                plot.over.addEventListener('click', () => {
                  const hit = find(plot)
                  if (hit) shown.current.onOpen?.(hit.index)
                })
              },
              setSelect: (plot) => {
                if (plot.select.width < 4) return
                const at = (x: number) => new Date(plot.posToVal(x, 'x') * 1000)
                shown.current.onSelect?.(at(plot.select.left), at(plot.select.left + plot.select.width))
                plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
              },
            },
          },
        ],
      }
    },
    data,
    [height, dark],
  )
  const dot = pointed && dots[pointed.index]
  return (
    <div className="g-scatter">
      <div ref={place} className="g-chart" aria-hidden />
      {dot && (
        <div
          className="g-scatter-tip"
          style={{ left: `clamp(0px, ${pointed.x + 72}px, calc(100% - 240px))`, top: pointed.y + 16 }}
          aria-hidden
        >
          <strong className="g-num">{format(dot.value)}</strong> <span className="g-break">{dot.text}</span>
        </div>
      )}
    </div>
  )
}
