import { useSyncExternalStore } from 'react'
import { useMessages } from '@/app/i18n'
import { dateTime, seconds, unknown, utc } from './format'
import { texts } from './messages'

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone

// A title and no tooltip of the library: tables have a moment or two in every row.
const hover = (date: Date) => `${dateTime(date, true)} ${zone}\n${utc(date)}`

/** A moment in the browser's zone; UTC when one points at it. */
export function Time({ at, milliseconds }: { at: Date | undefined; milliseconds?: boolean }) {
  if (!at) return <>{unknown}</>
  return (
    <time dateTime={at.toISOString()} className="g-num" title={hover(at)}>
      {dateTime(at, milliseconds)}
    </time>
  )
}

// One clock for all that tell how long ago: it ticks as long as somebody looks at it.
const clock = (() => {
  const listeners = new Set<() => void>()
  let timer: ReturnType<typeof setInterval> | undefined
  let now = Date.now()
  return {
    subscribe: (listener: () => void) => {
      listeners.add(listener)
      if (!timer) {
        now = Date.now()
        timer = setInterval(() => {
          now = Date.now()
          listeners.forEach((one) => one())
        }, 10_000)
      }
      return () => {
        listeners.delete(listener)
        if (listeners.size > 0) return
        clearInterval(timer)
        timer = undefined
      }
    },
    now: () => now,
  }
})()

/** How long ago, kept true as time passes. */
export function Ago({ at }: { at: Date | undefined }) {
  const t = useMessages(texts)
  const now = useSyncExternalStore(clock.subscribe, clock.now)
  if (!at) return <>{unknown}</>
  // A time newer than the last look at the clock is now, not the future.
  const passed = (Math.max(now, Math.min(at.getTime(), Date.now())) - at.getTime()) / 1000
  const coarse = passed > 300 ? Math.round(passed / 60) * 60 : Math.round(Math.abs(passed))
  return (
    <time dateTime={at.toISOString()} className="g-num" title={hover(at)}>
      {Math.abs(passed) < 5 ? t.now : passed < 0 ? t.soon(seconds(-passed)) : t.ago(seconds(coarse))}
    </time>
  )
}
