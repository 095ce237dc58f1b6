import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

/** The colours that charts draw with, read from the properties of the root: a canvas does not know them by name. */
export function colours() {
  const style = getComputedStyle(document.documentElement)
  const get = (name: string) => style.getPropertyValue(`--g-${name}`).trim()
  return {
    text: get('text-secondary'),
    grid: get('border'),
    accent: get('accent'),
    bad: get('bad'),
    warn: get('warn'),
    good: get('good'),
    font: `12px ${get('font') || 'sans-serif'}`,
    // For several lines: told apart by those who do not see red and green, too.
    lines: [get('accent'), '#d97706', '#0d9488', '#a855f7', '#db2777', '#65a30d', '#0891b2', '#b45309'],
  }
}

/** Keeps a uPlot in an element: made anew when what it is changes, given new data otherwise, and as wide as its place. */
export function useChart(build: (width: number) => uPlot.Options, data: uPlot.AlignedData, made: readonly unknown[]) {
  const place = useRef<HTMLDivElement>(null)
  const chart = useRef<uPlot>(null)
  const latest = useRef({ build, data })
  useEffect(() => {
    latest.current = { build, data }
  })
  useEffect(() => {
    const element = place.current!
    const plot = new uPlot(latest.current.build(element.clientWidth || 300), latest.current.data, element)
    chart.current = plot
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0 && element.clientWidth !== plot.width)
        plot.setSize({ width: element.clientWidth, height: plot.height })
    })
    observer.observe(element)
    return () => {
      observer.disconnect()
      plot.destroy()
      chart.current = null
    }
    // What the options are made of.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, made)
  useEffect(() => {
    if (chart.current && chart.current.data !== data) chart.current.setData(data)
  }, [data])
  return place
}

/** A vertical line where something was changed. */
export interface Marker {
  at: Date
  text: string
}

export function markersPlugin(markers: () => readonly Marker[], colour: string): uPlot.Plugin {
  return {
    hooks: {
      draw: (plot) => {
        const { ctx, bbox } = plot
        ctx.save()
        ctx.strokeStyle = ctx.fillStyle = colour
        ctx.lineWidth = devicePixelRatio
        ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio])
        for (const marker of markers()) {
          const x = Math.round(plot.valToPos(marker.at.getTime() / 1000, 'x', true))
          if (x < bbox.left || x > bbox.left + bbox.width) continue
          ctx.beginPath()
          ctx.moveTo(x, bbox.top)
          ctx.lineTo(x, bbox.top + bbox.height)
          ctx.stroke()
          ctx.beginPath()
          const size = 4 * devicePixelRatio
          ctx.moveTo(x - size, bbox.top)
          ctx.lineTo(x + size, bbox.top)
          ctx.lineTo(x, bbox.top + size * 1.5)
          ctx.fill()
        }
        ctx.restore()
      },
    },
  }
}

const two = (n: number) => String(n).padStart(2, '0')

/** Labels of the time axis: the clock, with the day where it changes or where there is more than a day. */
export const timeAxis = (_: uPlot, splits: number[]) => {
  const day = splits.length > 1 && splits[splits.length - 1]! - splits[0]! > 86400
  const fine = splits.length > 1 && splits[1]! - splits[0]! < 60
  return splits.map((at) => {
    const date = new Date(at * 1000)
    const clock = `${two(date.getHours())}:${two(date.getMinutes())}${fine ? ':' + two(date.getSeconds()) : ''}`
    return day ? `${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock}` : clock
  })
}
