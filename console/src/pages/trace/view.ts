// What of a trace's time is in sight.

export interface View {
  from: number
  to: number
}

/** The part that a word such as "12.5-80" of the query string means, within the trace; undefined when it means none. */
export function parseView(word: string | null, duration: number): View | undefined {
  const found = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(word ?? '')
  if (!found) return undefined
  const from = Math.max(0, Number(found[1]))
  const to = Math.min(duration, Number(found[2]))
  return to > from ? { from, to } : undefined
}

export const viewWord = ({ from, to }: View) => `${Number(from.toPrecision(8))}-${Number(to.toPrecision(8))}`

/** Nearer by a factor below 1, further by one above, around a moment; undefined when all is in sight. */
export function zoom(
  view: View,
  duration: number,
  factor: number,
  around = (view.from + view.to) / 2,
): View | undefined {
  const length = Math.max((view.to - view.from) * factor, duration / 1e5)
  if (length >= duration) return undefined
  const share = (around - view.from) / (view.to - view.from)
  const from = Math.min(Math.max(0, around - length * share), duration - length)
  return { from, to: from + length }
}

/** Round moments for an axis, about as many as asked. */
export function ticks({ from, to }: View, about: number): number[] {
  const raw = (to - from) / Math.max(1, about)
  if (!(raw > 0)) return []
  const size = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 5, 10].find((n) => n * size >= raw)! * size
  const all: number[] = []
  for (let i = Math.ceil(from / step - 1e-9) + 0; i * step <= to + step * 1e-9; i++) all.push(i * step)
  return all
}

/** Percent of the width in sight. */
export const placeOf = (at: number, view: View) => (100 * (at - view.from)) / (view.to - view.from)
