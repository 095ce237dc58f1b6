import { useMemo, useRef } from 'react'
import type uPlot from 'uplot'
import { useDark } from '@/app/Theme'
import { colours, markersPlugin, timeAxis, useChart } from './useChart'
import type { TimeSeriesProps } from '../TimeSeries'

export default function TimeSeriesChart({
  times,
  lines,
  format,
  markers = [],
  height = 200,
  onSelect,
}: TimeSeriesProps) {
  const dark = useDark()
  const shown = useRef({ markers, onSelect, format })
  shown.current = { markers, onSelect, format }
  const data = useMemo<uPlot.AlignedData>(() => [[...times], ...lines.map((line) => [...line.values])], [times, lines])
  const names = lines.map((line) => `${line.name}\n${line.tone ?? ''}`).join('\n')
  const place = useChart(
    (width) => {
      const colour = colours()
      const axis = {
        stroke: colour.text,
        font: colour.font,
        grid: { stroke: colour.grid, width: 1 },
        ticks: { show: false },
      }
      return {
        width,
        height,
        padding: [8, 8, 0, 0],
        cursor: { drag: { x: onSelect !== undefined, y: false, setScale: false }, points: { size: 6 } },
        // From zero, so that a tremble is not a mountain, and never so flat that a line lies on the edge.
        scales: { y: { range: (_plot, _least, most) => [0, Number.isFinite(most) && most > 0 ? most * 1.1 : 1] } },
        axes: [
          { ...axis, size: 28, values: timeAxis, space: 72 },
          {
            ...axis,
            size: 64,
            space: 36,
            values: (_plot, splits) => splits.map((value) => shown.current.format(value)),
          },
        ],
        series: [
          { value: (_plot, at) => (at === null ? '' : new Date(at * 1000).toLocaleTimeString('en-GB')), label: '' },
          ...lines.map((line, i) => ({
            label: line.name,
            stroke: line.tone ? colour[line.tone] : colour.lines[i % colour.lines.length],
            width: 1.5,
            points: { show: false },
            spanGaps: false,
            value: (_plot: uPlot, value: number | null) => (value === null ? '–' : shown.current.format(value)),
          })),
        ],
        plugins: [markersPlugin(() => shown.current.markers, colour.warn)],
        hooks: {
          setSelect: [
            (plot) => {
              if (plot.select.width < 4) return
              const at = (x: number) => new Date(plot.posToVal(x, 'x') * 1000)
              shown.current.onSelect?.(at(plot.select.left), at(plot.select.left + plot.select.width))
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
            },
          ],
        },
      }
    },
    data,
    [names, height, dark, onSelect !== undefined],
  )
  return <div ref={place} className="g-chart" aria-hidden />
}
