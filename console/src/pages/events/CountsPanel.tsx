import type { UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { RangeAnswer } from '@/api/prometheus'
import { useMessages } from '@/app/i18n'
import { Answer } from '@/ui/Answer'
import { count, seconds } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { TimeSeries } from '@/ui/TimeSeries'
import type { Conditions } from './conditions'
import { texts } from './messages'

const tones = { success: 'accent', refused: 'warn', failed: 'bad' } as const

export function CountsPanel({
  counts,
  conditions,
  narrow,
}: {
  counts: UseQueryResult<RangeAnswer & { step: number }>
  conditions: Conditions
  narrow: (range: { from: string; to: string }) => void
}) {
  const t = useMessages(texts)
  const data = counts.data
  const lines = useMemo(
    () =>
      (['success', 'refused', 'failed'] as const).flatMap((outcome) => {
        const series = data?.series.find(({ labels }) => labels['outcome'] === outcome)
        return series ? [{ name: t[outcome], values: series.values, tone: tones[outcome] }] : []
      }),
    [data, t],
  )
  return (
    <Panel title={t.counts} extra={data && <span className="g-secondary">{t.perStep(seconds(data.step))}</span>}>
      <Answer query={counts} shape="chart">
        {(known) => (
          <TimeSeries
            label={t.counts}
            times={known.times}
            lines={lines}
            format={(value) => count(Math.round(value))}
            height={168}
            onSelect={(from, to) => narrow({ from: from.toISOString(), to: to.toISOString() })}
          />
        )}
      </Answer>
      {(conditions.fields.length > 0 || conditions.trace) && (
        <p className="g-secondary g-events-note">{t.countsWithoutFields}</p>
      )}
    </Panel>
  )
}
