import type { ReactNode } from 'react'
import type { Figures } from '@/api/gen/gantry/v1/topology_pb'
import { useMessages } from '@/app/i18n'
import { duration, rate, share } from './format'
import { texts } from './messages'

/** Points of a line of W by H; gaps where there is no value. */
export function sparkPath(values: readonly (number | null)[], width: number, height: number): string {
  const known = values.filter((v): v is number => v !== null)
  if (known.length < 2) return ''
  // From zero: a line that only trembles must not look like a mountain.
  const most = Math.max(...known, 0) || 1
  let path = ''
  let pen = false
  values.forEach((value, i) => {
    if (value === null) {
      pen = false
      return
    }
    const x = (i / (values.length - 1)) * width
    const y = height - (Math.max(0, value) / most) * (height - 2) - 1
    path += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`
    pen = true
  })
  return path
}

export function Sparkline({
  values,
  tone = 'accent',
  width = 120,
  height = 28,
}: {
  values: readonly (number | null)[]
  tone?: 'accent' | 'bad'
  width?: number
  height?: number
}) {
  return (
    <svg
      className={`g-spark g-spark-${tone}`}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      aria-hidden
      focusable="false"
    >
      <path d={sparkPath(values, width, height)} />
    </svg>
  )
}

/** One number that matters, with its line of the recent past. */
export function Figure({
  label,
  value,
  detail,
  trend,
  tone,
}: {
  label: string
  value: ReactNode
  detail?: ReactNode
  trend?: readonly (number | null)[]
  /** bad colours the number: use it when somebody should act. */
  tone?: 'bad' | 'warn'
}) {
  return (
    <div className={`g-figure${tone ? ` g-figure-${tone}` : ''}`}>
      <div className="g-figure-label">{label}</div>
      <div className="g-figure-value g-num">{value}</div>
      {trend && <Sparkline values={trend} tone={tone === 'bad' ? 'bad' : 'accent'} />}
      {detail && <div className="g-figure-detail">{detail}</div>}
    </div>
  )
}

export const errorShare = (figures: Pick<Figures, 'calls' | 'failed'> | undefined) =>
  figures && figures.calls > 0n ? Number(figures.failed) / Number(figures.calls) : undefined

/** Rate, errors, p50 and p99 in one line, for tables and cards. */
export function RedLine({ figures }: { figures: Figures | undefined }) {
  const t = useMessages(texts).figure
  if (!figures || figures.calls === 0n) return <span className="g-secondary">{t.none}</span>
  return (
    <span className="g-red g-num">
      <span title={t.rate}>{rate(figures.rate)}</span>
      <span title={t.errors} className={figures.failed > 0n ? 'g-danger' : undefined}>
        {share(errorShare(figures))}
      </span>
      <span title={t.p50}>{duration(figures.p50)}</span>
      <span title={t.p99}>{duration(figures.p99)}</span>
    </span>
  )
}
