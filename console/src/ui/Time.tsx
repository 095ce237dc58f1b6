import { Tooltip } from 'antd'
import { useEffect, useState } from 'react'
import { useMessages } from '@/app/i18n'
import { dateTime, seconds, unknown, utc } from './format'
import { texts } from './messages'

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone

function Hover({ date }: { date: Date }) {
  return (
    <>
      <div>
        {dateTime(date, true)} {zone}
      </div>
      <div>{utc(date)}</div>
    </>
  )
}

/** A moment in the browser's zone; UTC when one points at it. */
export function Time({ at, milliseconds }: { at: Date | undefined; milliseconds?: boolean }) {
  if (!at) return <>{unknown}</>
  return (
    <Tooltip title={<Hover date={at} />}>
      <time dateTime={at.toISOString()} className="g-num">
        {dateTime(at, milliseconds)}
      </time>
    </Tooltip>
  )
}

/** How long ago, kept true as time passes. */
export function Ago({ at }: { at: Date | undefined }) {
  const t = useMessages(texts)
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 10_000)
    return () => clearInterval(timer)
  }, [])
  if (!at) return <>{unknown}</>
  // A time newer than the last look at the clock is now, not the future.
  const passed = (Math.max(now, Math.min(at.getTime(), Date.now())) - at.getTime()) / 1000
  const coarse = passed > 300 ? Math.round(passed / 60) * 60 : Math.round(Math.abs(passed))
  return (
    <Tooltip title={<Hover date={at} />}>
      <time dateTime={at.toISOString()} className="g-num">
        {Math.abs(passed) < 5 ? t.now : passed < 0 ? t.soon(seconds(-passed)) : t.ago(seconds(coarse))}
      </time>
    </Tooltip>
  )
}
