import { lazy, Suspense } from 'react'
import type { Marker } from './chart/useChart'
import { Loading } from './Loading'

const Chart = lazy(() => import('./chart/ScatterChart'))

export interface Dot {
  at: Date
  value: number
  tone: 'accent' | 'bad' | 'warn'
  /** What it is, when one points at it. */
  text: string
}

export interface ScatterProps {
  label: string
  dots: readonly Dot[]
  from: Date
  to: Date
  format: (value: number) => string
  markers?: readonly Marker[]
  height?: number
  onOpen?: (index: number) => void
  onSelect?: (from: Date, to: Date) => void
}

/** Dots over time, on a logarithmic scale: what is slow stands out. Whoever uses it shows the same as a table: that is its text. */
export function Scatter(props: ScatterProps) {
  return (
    <figure className="g-chart-figure" aria-label={props.label}>
      <Suspense fallback={<Loading shape="chart" />}>
        <Chart {...props} />
      </Suspense>
    </figure>
  )
}
