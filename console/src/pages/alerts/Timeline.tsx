import type { ReactNode } from 'react'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { clock, dateTime } from '@/ui/format'
import { texts as shared } from '@/ui/messages'
import { Empty } from '@/ui/Empty'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import type { Span } from '@/ui/timeRange'
import { texts } from './messages'
import { ownLabels, type Bar, type Lane } from './model'

const most = 24
const day = 86_400_000

/** When alerts waited and fired, one line each. The table below says the same in words. */
export function Timeline({
  namespace,
  lanes,
  span,
  named,
}: {
  namespace: string
  lanes: readonly Lane[]
  span: Span
  named: boolean
}) {
  const t = useMessages(texts).history
  const whole = span.until.getTime() - span.since.getTime()
  const label = (at: Date) => (whole > day ? dateTime(at).slice(5, 16) : clock(at).slice(0, 5))
  return (
    <Panel
      title={t.line}
      extra={
        <span className="g-alerts-legend">
          <StateTag state="firing" />
          <StateTag state="pending" />
        </span>
      }
    >
      {lanes.length === 0 ? (
        <Empty title={t.noLanes} />
      ) : (
        <div className="g-alerts-lanes">
          {lanes.slice(0, most).map((lane) => {
            const own = ownLabels(lane.labels)
              .map(([name, value]) => (name === 'service' ? value : `${name}=${value}`))
              .join(' ')
            return (
              <LaneRow key={lane.key} lane={lane} span={span}>
                {named && <PageLink to={paths.alert(namespace, lane.kind, lane.rule)}>{lane.rule}</PageLink>}{' '}
                <span className={named ? 'g-secondary' : undefined}>{own || lane.rule}</span>
              </LaneRow>
            )
          })}
          <div className="g-alerts-axis g-num" aria-hidden>
            {[0, 0.25, 0.5, 0.75, 1].map((part) => (
              <span key={part}>{label(new Date(span.since.getTime() + part * whole))}</span>
            ))}
          </div>
        </div>
      )}
      {lanes.length > most && <p className="g-secondary">{t.moreLanes(lanes.length - most)}</p>}
    </Panel>
  )
}

function LaneRow({ lane, span, children }: { lane: Lane; span: Span; children: ReactNode }) {
  const t = useMessages(texts).history
  const states = useMessages(shared).state
  const whole = span.until.getTime() - span.since.getTime()
  const place = (bar: Bar) => ({
    left: `${((bar.from.getTime() - span.since.getTime()) / whole) * 100}%`,
    width: `${((bar.until.getTime() - bar.from.getTime()) / whole) * 100}%`,
  })
  const said = (bar: Bar) => t.bar(states[bar.state], dateTime(bar.from), bar.open ? t.stillOn : dateTime(bar.until))
  return (
    <>
      <div className="g-cut">{children}</div>
      <div className="g-alerts-track" role="img" aria-label={lane.bars.map(said).join('; ')}>
        {lane.bars.map((bar, i) => (
          <div key={i} className={`g-alerts-bar g-alerts-bar-${bar.state}`} style={place(bar)} title={said(bar)} />
        ))}
      </div>
    </>
  )
}
