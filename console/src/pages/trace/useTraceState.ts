import { useCallback, useMemo, useState } from 'react'
import { ancestors } from './rows'
import type { Node, Trace } from './model'
import { useRestingQuery } from './useRestingQuery'
import { parseView, viewWord, type View } from './view'

export const filters = ['all', 'matches', 'failed', 'path'] as const
export type Filter = (typeof filters)[number]

/** What is chosen, searched and in sight: in the query string, so that a link shows the same. What is folded is of the moment. */
export function useTraceState(trace: Trace) {
  const [search, put] = useRestingQuery()
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set<string>())
  const spanId = search.get('span')
  const selected = useMemo(() => trace.nodes.find((node) => node.span.spanId === spanId), [trace, spanId])
  const fold = useCallback(
    (node: Node, closed: boolean) =>
      setCollapsed((old) => {
        const next = new Set(old)
        if (closed) next.add(node.span.spanId)
        else next.delete(node.span.spanId)
        return next
      }),
    [],
  )
  const show = useCallback(
    (node: Node) =>
      setCollapsed((old) => {
        const above = ancestors(node).filter((id) => old.has(id))
        if (above.length === 0) return old
        const next = new Set(old)
        for (const id of above) next.delete(id)
        return next
      }),
    [],
  )
  const whole = useMemo(() => ({ from: 0, to: Math.max(trace.duration, 1e-6) }), [trace])
  const word = search.get('view')
  const view = useMemo(() => parseView(word, trace.duration) ?? whole, [word, trace, whole])
  const typed = search.get('q') ?? ''
  const filter = filters.find((known) => known === search.get('show')) ?? 'all'
  const rawClocks = search.get('clocks') === 'raw'
  // One object for what does not change while somebody walks through the spans.
  const shown = useMemo(
    () => ({
      ...{ typed, filter, view, rawClocks, setCollapsed },
      zoomed: view !== whole,
      setTyped: (q: string) => put({ q }),
      setFilter: (filter: Filter) => put({ show: filter === 'all' ? undefined : filter }),
      setView: (next: View | undefined) => put({ view: next && viewWord(next) }),
      setRawClocks: (raw: boolean) => put({ clocks: raw ? 'raw' : undefined }),
    }),
    [typed, filter, view, whole, rawClocks, put],
  )
  return {
    ...{ selected, collapsed, fold, show, shown },
    select: useCallback((node: Node | undefined) => put({ span: node?.span.spanId }), [put]),
  }
}

export type Shown = ReturnType<typeof useTraceState>['shown']
