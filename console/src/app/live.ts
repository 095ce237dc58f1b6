import type { QueryClient } from '@tanstack/react-query'
import { useEffect, useSyncExternalStore } from 'react'
import { useQueryClient } from '@tanstack/react-query'
import { type Topic } from '@/api/keys'
import type { LiveEvent, LiveHint } from '@/api/gen/gantry/v1/live_pb'
import { Code, ConnectError } from '@connectrpc/connect'
import { isSignedOut, tellSignedOut } from '@/api/transport'
import { Refresh } from './refresh'

// One stream a tab. It carries no state: it says what moved, and the queries of that topic are asked again. Without it nothing is fresh, which is said.

/** There is an event at least every 5 s; after this long without one the line is taken for dead. */
const silence = 12_000
const retryMost = 15_000

export interface LineState {
  /** refused: the server answers, and says why it shows nothing of this namespace. */
  state: 'connecting' | 'live' | 'stale' | 'lost' | 'refused'
  /** Why it is refused. */
  refusal?: unknown
  /** Of the last event. */
  heard?: Date
  version?: string
  node?: string
}

/** The topics that an event makes old. before is what hints are compared with. */
export function topicsOf(event: LiveEvent['event'], before: LiveHint | undefined): Topic[] {
  switch (event.case) {
    case 'change':
      return event.value.kind.startsWith('release') ? ['changes', 'documents'] : ['changes', 'services']
    case 'hint': {
      const h = event.value
      const moved: Topic[] = []
      if (h.services !== before?.services) moved.push('services')
      if (h.documents !== before?.documents) moved.push('documents')
      if (h.alerts !== before?.alerts) moved.push('alerts')
      if (h.changes !== before?.changes) moved.push('changes')
      return moved
    }
    default:
      return []
  }
}

/** Whether an error says that there is nothing to follow, rather than that the line broke. */
export const isRefusal = (error: unknown) =>
  error instanceof ConnectError && [Code.NotFound, Code.PermissionDenied, Code.InvalidArgument].includes(error.code)

export class Line {
  private current: LineState = { state: 'connecting' }
  private listeners = new Set<() => void>()
  private ended = new AbortController()
  private attempt: AbortController | undefined
  private wake: (() => void) | undefined
  private failures = 0
  private at: LiveHint | undefined
  private readonly refresh: Refresh

  constructor(
    private readonly namespace: string,
    private readonly client: QueryClient,
  ) {
    this.refresh = new Refresh(client, namespace)
  }

  readonly get = () => this.current
  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  private set(change: Partial<LineState>) {
    this.current = { ...this.current, ...change }
    this.listeners.forEach((tell) => tell())
  }

  close() {
    this.ended.abort()
    this.attempt?.abort()
    this.wake?.()
  }

  /** Tries again now. */
  readonly retry = () => {
    this.failures = 0
    if (this.wake) this.wake()
    else this.attempt?.abort()
  }

  async run() {
    while (!this.ended.signal.aborted) {
      let refusal: unknown
      const attempt = (this.attempt = new AbortController())
      const watchdog = new Watchdog(silence, () => {
        this.set({ state: 'stale' })
        attempt.abort()
      })
      try {
        // Its code comes after the first frame.
        const { live } = await import('@/api/clients/live')
        for await (const event of live.watch({ namespace: this.namespace }, { signal: attempt.signal })) {
          watchdog.pet()
          this.take(event)
        }
        // A stream that ends by itself: the node leaves. Another answers at once.
      } catch (error) {
        if (this.ended.signal.aborted) return
        // It is asked again: the namespace, or the right to it, may yet come.
        refusal = isRefusal(error) ? error : undefined
        if (isSignedOut(error)) tellSignedOut()
      } finally {
        watchdog.stop()
      }
      if (this.ended.signal.aborted) return
      if (refusal !== undefined) this.set({ state: 'refused', refusal })
      else if (this.current.state !== 'stale') this.set({ state: 'lost', heard: this.current.heard ?? new Date() })
      this.failures++
      await this.pause(Math.min(retryMost, 500 * 2 ** Math.min(this.failures, 6)) * (0.5 + Math.random() / 2))
    }
  }

  private pause(ms: number) {
    return new Promise<void>((resolve) => {
      const timer = setTimeout(done, ms)
      this.wake = done
      const online = () => done()
      globalThis.addEventListener?.('online', online)
      const finish = () => {
        globalThis.removeEventListener?.('online', online)
        this.wake = undefined
        resolve()
      }
      function done() {
        clearTimeout(timer)
        finish()
      }
    })
  }

  private take(event: LiveEvent) {
    this.failures = 0
    if (event.event.case === 'hello') {
      // Whatever was read before may be old: events of the meantime are not told again.
      this.at = event.event.value.at
      const { version, node } = event.event.value
      this.set({ state: 'live', heard: new Date(), version, node, refusal: undefined })
      void this.client.invalidateQueries({ predicate: (query) => query.queryKey[1] === this.namespace })
      return
    }
    this.set({ state: 'live', heard: new Date() })
    const topics = topicsOf(event.event, this.at)
    if (event.event.case === 'hint') this.at = event.event.value
    if (event.event.case === 'tick') this.refresh.tick()
    for (const topic of topics) this.refresh.moved(topic)
  }
}

class Watchdog {
  private timer: ReturnType<typeof setTimeout>
  constructor(
    private readonly ms: number,
    private readonly bite: () => void,
  ) {
    this.timer = setTimeout(bite, ms)
  }
  pet() {
    clearTimeout(this.timer)
    this.timer = setTimeout(this.bite, this.ms)
  }
  stop() {
    clearTimeout(this.timer)
  }
}

let line: Line | undefined
const lineListeners = new Set<() => void>()
const nothing: LineState = { state: 'connecting' }

function subscribeLine(listener: () => void) {
  lineListeners.add(listener)
  return () => void lineListeners.delete(listener)
}

/** Keeps the tab's stream open for a namespace. The shell calls it, once. */
export function useLiveLine(namespace: string) {
  const client = useQueryClient()
  useEffect(() => {
    const opened = new Line(namespace, client)
    const stop = opened.subscribe(() => lineListeners.forEach((tell) => tell()))
    line = opened
    // What was said of another namespace does not hold for this one.
    lineListeners.forEach((tell) => tell())
    void opened.run()
    return () => {
      stop()
      opened.close()
      if (line === opened) line = undefined
    }
  }, [namespace, client])
}

/** Opens the tab's stream again at once: whoever looks has signed in again. */
export const reconnect = () => line?.retry()

/** How the live line is. Queries refresh by their keys; a page needs this only to say how fresh it is. */
export function useLive(): LineState & { retry: () => void } {
  const state = useSyncExternalStore(subscribeLine, () => line?.get() ?? nothing)
  return { ...state, retry: () => line?.retry() }
}
