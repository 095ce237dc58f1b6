import { durationMs, timestampMs } from '@bufbuild/protobuf/wkt'
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt'

// Numbers, durations and times look alike everywhere. What is not known is an en dash, never 0.

export const unknown = '–'

/** 950, 1.2k, 34k, 5.6M. */
export function count(value: number | bigint | undefined): string {
  if (value === undefined) return unknown
  const n = Number(value)
  if (!Number.isFinite(n)) return unknown
  for (const [size, unit] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e4, 'k'],
  ] as const) {
    if (Math.abs(n) >= size) return trim(n / (unit === 'k' ? 1e3 : size)) + unit
  }
  return Number.isInteger(n) ? n.toLocaleString('en') : trim(n)
}

/** Calls a second: 0.02/s, 12.3/s. */
export function rate(perSecond: number | undefined): string {
  if (perSecond === undefined || !Number.isFinite(perSecond)) return unknown
  return count(Math.abs(perSecond) >= 100 ? Math.round(perSecond) : Number(perSecond.toPrecision(3))) + '/s'
}

/** A share from 0 to 1 as 0%, 0.12%, 3.4%, 45%; what is more than nothing is never shown as 0. */
export function share(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return unknown
  const percent = value * 100
  if (percent === 0) return '0%'
  if (percent < 0.01) return '<0.01%'
  return (percent >= 10 ? percent.toFixed(0) : trim(percent)) + '%'
}

/** 850 µs, 12 ms, 1.24 s, 3m 20s, 2h 5m, 4d 3h. */
export function seconds(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return unknown
  if (value < 0) return '-' + seconds(-value)
  if (value === 0) return '0 s'
  if (value < 1e-6) return trim(value * 1e9) + ' ns'
  if (value < 0.9995e-3) return trim(value * 1e6) + ' µs'
  if (value < 0.9995) return trim(value * 1e3) + ' ms'
  if (value < 59.95) return trim(value) + ' s'
  const s = Math.round(value)
  if (s < 3600) return two(Math.floor(s / 60), 'm', s % 60, 's')
  const m = Math.round(s / 60)
  if (m < 1440) return two(Math.floor(m / 60), 'h', m % 60, 'm')
  const h = Math.round(s / 3600)
  return two(Math.floor(h / 24), 'd', h % 24, 'h')
}

export const duration = (d: Duration | undefined) => (d ? seconds(durationMs(d) / 1000) : unknown)

/** 1.5 KiB, 34 MiB. */
export function bytes(value: number | bigint | undefined): string {
  if (value === undefined) return unknown
  let n = Number(value)
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  while (Math.abs(n) >= 1024 && unit < units.length - 1) {
    n /= 1024
    unit++
  }
  return `${trim(n)} ${units[unit]}`
}

export const dateOf = (t: Timestamp | undefined): Date | undefined => (t ? new Date(timestampMs(t)) : undefined)

const pad = (n: number, to = 2) => String(n).padStart(to, '0')

/** 2026-11-26 14:03:22 in the browser's zone; with .123 where milliseconds matter. */
export function dateTime(date: Date | undefined, milliseconds = false): string {
  if (!date) return unknown
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${clock(date, milliseconds)}`
}

/** 14:03:22 in the browser's zone. */
export function clock(date: Date | undefined, milliseconds = false): string {
  if (!date) return unknown
  const base = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`
  return milliseconds ? `${base}.${pad(date.getMilliseconds(), 3)}` : base
}

/** The same in UTC, for hovers. */
export function utc(date: Date | undefined): string {
  return date ? date.toISOString().replace('T', ' ').replace('Z', ' UTC') : unknown
}

/** The first of a trace's or span's id. */
export const shortId = (id: string) => (id.length > 12 ? id.slice(0, 8) : id)

function two(a: number, unitA: string, b: number, unitB: string) {
  return b === 0 ? `${a}${unitA}` : `${a}${unitA} ${b}${unitB}`
}

// Three digits, without zeros at the end.
function trim(n: number): string {
  return String(Number(n.toPrecision(3)))
}
