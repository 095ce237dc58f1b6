import {
  CaretRightOutlined,
  PauseOutlined,
  StepBackwardOutlined,
  StepForwardOutlined,
  WarningOutlined,
} from '@ant-design/icons'
import { Button, Select, Slider, Tooltip } from 'antd'
import { useEffect, useState } from 'react'
import type { Change } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { clock, dateTime, utc } from '@/ui/format'
import type { UsedTimeRange } from '@/ui/timeRange'
import { changeWords, clusters, within, type Cluster } from './markers'
import { texts } from './messages'
import { momentText, stepMs, windowMs, windows, type MapState } from './state'

const pause = 900
const told = 3

export interface TimeTravelProps {
  range: UsedTimeRange
  state: Pick<MapState, 'at' | 'window'>
  set: (change: { at?: string; window?: string }) => void
  changes: readonly Change[]
  /** The answer for the moment has not come: playing waits for it. */
  loading: boolean
}

/** The slider back in time: what was changed when, and a button that plays. Its right end is now, and goes on with it. */
export function TimeTravel({ range, state, set, changes, loading }: TimeTravelProps) {
  const t = useMessages(texts).time
  const { since, until } = range.span()
  const from = since.getTime()
  const to = until.getTime()
  const live = state.at === undefined && range.to === 'now'
  const shown = state.at ?? to
  const step = stepMs(to - from)
  // While the handle is dragged only its label moves; the server is asked when it rests.
  const [dragged, setDragged] = useState<number>()
  const [playing, setPlaying] = useState(false)
  const go = (at: number) => set({ at: at >= to - step / 2 ? undefined : new Date(Math.max(from, at)).toISOString() })
  useEffect(() => {
    if (!playing || loading) return
    const timer = setTimeout(() => {
      if (shown + step >= to) setPlaying(false)
      go(shown + step)
    }, pause)
    return () => clearTimeout(timer)
  })
  const play = () => {
    if (!playing && shown >= to - step) go(from + step)
    setPlaying(!playing)
  }
  const at = dragged ?? shown
  const text = momentText(at)
  const past = !live || dragged !== undefined
  return (
    <div className={`g-map-time${past ? ' g-map-time-past' : ''}`} role="group" aria-label={t.label}>
      <div className="g-map-time-buttons">
        <Tip word={t.earlier} icon={<StepBackwardOutlined />} run={() => go(shown - step)} off={shown <= from} />
        <Tip word={playing ? t.pause : t.play} icon={playing ? <PauseOutlined /> : <CaretRightOutlined />} run={play} />
        <Tip word={t.later} icon={<StepForwardOutlined />} run={() => go(shown + step)} off={state.at === undefined} />
      </div>
      <div className="g-map-time-track">
        <Markers clusters={clusters(changes, from, to)} go={(moment) => go(moment + windowMs(state.window))} />
        <Slider
          min={0}
          max={Math.round((to - from) / step)}
          value={Math.round((at - from) / step)}
          onChange={(value: number) => setDragged(from + value * step)}
          onChangeComplete={(value: number) => {
            setDragged(undefined)
            setPlaying(false)
            go(from + value * step)
          }}
          tooltip={{ formatter: () => text }}
          ariaLabelForHandle={t.label}
          ariaValueTextFormatterForHandle={() => text}
        />
      </div>
      <div className="g-map-time-words g-num">
        {!past ? (
          <strong>{t.live}</strong>
        ) : (
          <Tooltip title={utc(new Date(at))}>
            <strong>{text}</strong>
          </Tooltip>
        )}
        <Select
          size="small"
          aria-label={t.window}
          value={state.window}
          options={windows.map((value) => ({ value, label: t.windowOf(value) }))}
          onChange={(window) => set({ window: window === '5m' ? undefined : window })}
          popupMatchSelectWidth={false}
        />
        {state.at !== undefined && (
          <Button
            size="small"
            onClick={() => {
              setPlaying(false)
              set({ at: undefined })
            }}
          >
            {t.goLive}
          </Button>
        )}
      </div>
      <p className="g-map-time-changes g-secondary g-cut">
        {past && (
          <strong className="g-warning" role="status">
            <WarningOutlined aria-hidden /> {t.past(text, state.window)}
            {loading && ` (${t.loading})`}{' '}
          </strong>
        )}
        <InWindow changes={within(changes, at - windowMs(state.window), at)} />
      </p>
    </div>
  )
}

function Tip({ word, icon, run, off }: { word: string; icon: React.ReactNode; run: () => void; off?: boolean }) {
  return (
    <Tooltip title={word}>
      <Button icon={icon} aria-label={word} onClick={run} disabled={off} />
    </Tooltip>
  )
}

function Markers({ clusters, go }: { clusters: readonly Cluster[]; go: (at: number) => void }) {
  const t = useMessages(texts).time
  return (
    <ul className="g-map-markers" aria-label={t.changes}>
      {clusters.map((cluster) => {
        const lines = cluster.changes.slice(0, 6).map(changeWords)
        return (
          <li key={cluster.place} style={{ left: `${cluster.place * 100}%` }}>
            <Tooltip
              title={
                <>
                  <div className="g-num">{dateTime(new Date(cluster.at))}</div>
                  {lines.map((line, i) => (
                    <div key={i} className="g-break">
                      {line}
                    </div>
                  ))}
                  {cluster.changes.length > lines.length && t.more(cluster.changes.length - lines.length)}
                </>
              }
            >
              <button
                type="button"
                className={cluster.release ? 'g-map-marker g-map-marker-release' : 'g-map-marker'}
                aria-label={`${clock(new Date(cluster.at))} ${t.markers(cluster.changes.length)}: ${lines[0]}`}
                onClick={() => go(cluster.at)}
              />
            </Tooltip>
          </li>
        )
      })}
    </ul>
  )
}

/** What was changed within the window that is shown, releases first. */
function InWindow({ changes }: { changes: readonly Change[] }) {
  const t = useMessages(texts).time
  const first = [...changes].sort((a, b) => Number(b.kind.startsWith('release')) - Number(a.kind.startsWith('release')))
  return (
    <>
      {changes.length === 0 ? (
        t.noneInWindow
      ) : (
        <>
          {t.inWindow(changes.length)} {first.slice(0, told).map(changeWords).join(' · ')}{' '}
          {first.length > told && t.more(first.length - told)}
        </>
      )}
    </>
  )
}
