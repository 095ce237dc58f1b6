import type { UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { Change } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import type { Traffic } from '@/pages/overview/traffic'
import { last } from '@/pages/overview/traffic'
import { Answer } from '@/ui/Answer'
import { Figure } from '@/ui/Figure'
import { rate, seconds, share } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { TimeSeries } from '@/ui/TimeSeries'
import type { UsedTimeRange } from '@/ui/timeRange'
import { markersOf } from './changes'
import { texts } from './messages'

/** Rate, errors and durations: the numbers of now, and how they came to be, with what was changed as lines. */
export function RedPanels({
  red,
  changes,
  range,
}: {
  red: UseQueryResult<Traffic>
  changes: readonly Change[]
  range: UsedTimeRange
}) {
  const t = useMessages(texts)
  const markers = useMemo(() => markersOf(changes), [changes])
  const data = red.data
  const rates = useMemo(
    () =>
      data
        ? [
            { name: t.success, values: data.success, tone: 'accent' as const },
            { name: t.refused, values: data.refused, tone: 'warn' as const },
            { name: t.failed, values: data.failed, tone: 'bad' as const },
          ]
        : [],
    [data, t],
  )
  const durations = useMemo(
    () =>
      data
        ? [
            { name: 'p50', values: data.p50 },
            { name: 'p99', values: data.p99 },
          ]
        : [],
    [data],
  )
  const errors = last(data?.errors)
  const select = (from: Date, to: Date) => range.set({ from: from.toISOString(), to: to.toISOString() })
  return (
    <>
      {data && (
        <div className="g-cards">
          <Figure label={t.rate} value={rate(last(data.rate))} trend={data.rate} />
          <Figure
            label={t.errors}
            value={share(errors)}
            trend={data.errors}
            tone={errors !== undefined && errors > 0.01 ? 'bad' : undefined}
          />
          <Figure label={t.p50} value={seconds(last(data.p50))} trend={data.p50} />
          <Figure label={t.p99} value={seconds(last(data.p99))} trend={data.p99} />
        </div>
      )}
      <div className="g-service-charts">
        <Panel title={t.requests}>
          <Answer query={red} shape="chart">
            {(known) => (
              <TimeSeries
                label={t.requests}
                times={known.times}
                lines={rates}
                format={rate}
                markers={markers}
                onSelect={select}
              />
            )}
          </Answer>
        </Panel>
        <Panel title={t.durations}>
          <Answer query={red} shape="chart">
            {(known) => (
              <TimeSeries
                label={t.durations}
                times={known.times}
                lines={durations}
                format={seconds}
                markers={markers}
                onSelect={select}
              />
            )}
          </Answer>
        </Panel>
      </div>
    </>
  )
}
