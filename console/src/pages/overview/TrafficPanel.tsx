import type { UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { Change } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { Answer } from '@/ui/Answer'
import { dateOf, rate, seconds } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { TimeSeries, type Marker } from '@/ui/TimeSeries'
import { texts } from './messages'
import type { Traffic } from './traffic'

/** The changes that may have caused something: releases, not every registration. */
function markersOf(changes: readonly Change[]): Marker[] {
  return changes.flatMap((change) => {
    const at = dateOf(change.time)
    return at && change.kind.startsWith('release') ? [{ at, text: `${change.kind} ${change.target}` }] : []
  })
}

export function TrafficPanel({ traffic, changes }: { traffic: UseQueryResult<Traffic>; changes: readonly Change[] }) {
  const t = useMessages(texts)
  const markers = useMemo(() => markersOf(changes), [changes])
  const data = traffic.data
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
  return (
    <>
      <Panel title={t.traffic} extra={<span className="g-secondary">{t.lastHour}</span>}>
        <Answer query={traffic} shape="chart">
          {(known) => (
            <TimeSeries label={t.traffic} times={known.times} lines={rates} format={rate} markers={markers} />
          )}
        </Answer>
      </Panel>
      <Panel title={t.durations} extra={<span className="g-secondary">{t.lastHour}</span>}>
        <Answer query={traffic} shape="chart">
          {(known) => (
            <TimeSeries label={t.durations} times={known.times} lines={durations} format={seconds} markers={markers} />
          )}
        </Answer>
      </Panel>
    </>
  )
}
