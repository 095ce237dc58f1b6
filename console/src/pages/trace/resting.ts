// What is chosen with held down keys or typed changes far more often than a browser lets an address change: Safari and Firefox refuse more than about a hundred
// times in half a minute. So the page shows it at once, and the address follows when it rests.

/** Values of the query string; undefined takes one away. */
export type Changes = Readonly<Record<string, string | undefined>>

/** How long nothing may have changed. */
export const rest = 200
/** The least time between two writes: sixty in half a minute, however somebody types. */
export const gap = 500

export interface Timer {
  now: () => number
  /** Calls once, and answers how to take that back. */
  after: (milliseconds: number, call: () => void) => () => void
}

const browserTimer: Timer = {
  now: () => performance.now(),
  after: (milliseconds, call) => {
    const id = setTimeout(call, milliseconds)
    return () => clearTimeout(id)
  },
}

/** A query string with changes; names that are not changed keep their place. */
export function merged(query: string, changes: Changes): string {
  const next = new URLSearchParams(query)
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value)
    else next.delete(name)
  }
  return next.toString()
}

/** A query string that is ahead of the address. */
export class RestingQuery {
  /** Of the address. */
  #address: string
  #ahead: Changes = {}
  /** What was written and has not shown up as the address yet. */
  #written: string[] = []
  #shown: string
  #last = -Infinity
  #cancel: (() => void) | undefined
  readonly #listeners = new Set<() => void>()
  #write: ((changes: Changes) => void) | undefined
  readonly #timer: Timer

  constructor(address: string, timer: Timer = browserTimer) {
    this.#address = this.#shown = address
    this.#timer = timer
  }

  /** What the page shows. */
  readonly shown = (): string => this.#shown

  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  readonly put = (changes: Changes): void => {
    this.#ahead = { ...this.#ahead, ...changes }
    this.#show()
    this.#cancel?.()
    const { now, after } = this.#timer
    this.#cancel = after(Math.max(rest, this.#last + gap - now()), () => {
      this.#cancel = undefined
      const written = merged(this.#address, this.#ahead)
      if (written === this.#address) return
      this.#last = now()
      this.#written.push(written)
      this.#write?.(this.#ahead)
    })
  }

  /** The address is this now, and so it is changed. What somebody else put there, such as a link or the way back, is what counts. */
  moved(address: string, write: (changes: Changes) => void): void {
    this.#write = write
    if (address === this.#address) return
    this.#address = address
    const at = this.#written.indexOf(address)
    this.#written = this.#written.slice(at + 1)
    if (at < 0) {
      this.#forget()
      this.#ahead = {}
    } else {
      const now = new URLSearchParams(address)
      const behind = Object.entries(this.#ahead).filter(([name, value]) => (now.get(name) ?? '') !== (value ?? ''))
      this.#ahead = Object.fromEntries(behind)
    }
    this.#show()
  }

  /** What the address lacks, for who leaves the page before it rests. */
  pending(): Changes | undefined {
    return this.#cancel && this.#ahead
  }

  /** Ends it. */
  stop(): void {
    this.#forget()
  }

  #forget() {
    this.#cancel?.()
    this.#cancel = undefined
    this.#written = []
  }

  #show() {
    const shown = merged(this.#address, this.#ahead)
    if (shown === this.#shown) return
    this.#shown = shown
    this.#listeners.forEach((tell) => tell())
  }
}
