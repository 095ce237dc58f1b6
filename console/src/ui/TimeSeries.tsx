import { lazy, Suspense } from 'react'
import { useMessages } from '@/app/i18n'
import type { Marker } from './chart/useChart'
import { Empty } from './Empty'
import { dateTime } from './format'
import { Loading } from './Loading'
import { texts } from './messages'
import { extremes } from './summary'

export type { Marker }

const Chart = lazy(() => import('./chart/TimeSeriesChart'))

export interface Line {
  name: string
  values: readonly (number | null)[]
  tone?: 'accent' | 'bad' | 'warn' | 'good'
}

export interface TimeSeriesProps {
  /** What it shows, for those who cannot see it. */
  label: string
  /** Seconds since 1970. */
  times: readonly number[]
  /** The same object as long as its values are the same. */
  lines: readonly Line[]
  format: (value: number) => string
  /** What was changed, as vertical lines. */
  markers?: readonly Marker[]
  height?: number
  /** A range that was drawn by the mouse. */
  onSelect?: (from: Date, to: Date) => void
}

/** Lines over time, with a summary in words beside the picture. */
export function TimeSeries(props: TimeSeriesProps) {
  const t = useMessages(texts).chart
  if (props.lines.every((line) => line.values.every((value) => value === null))) return <Empty title={t.none} />
  return (
    <figure className="g-chart-figure" aria-label={props.label}>
      <Suspense fallback={<Loading shape="chart" />}>
        <Chart {...props} />
      </Suspense>
      <figcaption className="g-sr">
        {props.lines.map((line) => {
          const known = extremes(line.values)
          return (
            known && (
              <p key={line.name}>
                {t.summary(line.name, props.format(known.least), props.format(known.most), props.format(known.last))}
              </p>
            )
          )
        })}
        {(props.markers ?? []).slice(0, 20).map((marker, i) => (
          <p key={i}>
            {t.marker} {dateTime(marker.at)}: {marker.text}
          </p>
        ))}
      </figcaption>
    </figure>
  )
}
