import { useMemo } from 'react'
import { useMessages } from '@/app/i18n'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { bytes, count, share } from '@/ui/format'
import { Panel } from '@/ui/Page'
import type { UsedTimeRange } from '@/ui/timeRange'
import { TimeSeries } from '@/ui/TimeSeries'
import type { ServiceName } from '@/pages/service/useService'
import { texts } from './messages'
import { measures, useRuntime, type Measure } from './runtime'

const formats: Record<Measure, (value: number) => string> = {
  cpu: (value) => count(Number(value.toPrecision(3))),
  memory: bytes,
  tasks: (value) => count(Math.round(value)),
  pauses: share,
  files: (value) => count(Math.round(value)),
}

/** CPU, memory and what else its process says of itself; what it does not say is left out. */
export function RuntimePanel({ of, instance, range }: { of: ServiceName; instance: string; range: UsedTimeRange }) {
  const t = useMessages(texts)
  const runtime = useRuntime(of.namespace, of.service, instance, range)
  const lines = useMemo(() => {
    const parts = runtime.data?.parts
    if (!parts) return []
    return measures.flatMap((measure) => {
      const values = parts[measure].series[0]?.values
      return values ? [{ measure, lines: [{ name: t[measure], values }] }] : []
    })
  }, [runtime.data, t])
  return (
    <Panel title={t.runtime}>
      <Answer query={runtime} shape="chart">
        {(known) =>
          lines.length === 0 ? (
            <Empty title={t.noRuntime}>{t.noRuntimeText}</Empty>
          ) : (
            <div className="g-instance-runtime">
              {lines.map(({ measure, lines: shown }) => (
                <div key={measure}>
                  <h3>{t[measure]}</h3>
                  <TimeSeries
                    label={t[measure]}
                    times={known.times}
                    lines={shown}
                    format={formats[measure]}
                    height={120}
                  />
                </div>
              ))}
            </div>
          )
        }
      </Answer>
    </Panel>
  )
}
