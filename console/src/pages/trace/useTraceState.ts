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
  return {
    selected,
    select: useCallback((node: Node | undefined) => put({ span: node?.span.spanId }), [put]),
    collapsed,
    fold,
    setCollapsed,
    show,
    typed: search.get('q') ?? '',
    setTyped: useCallback((q: string) => put({ q }), [put]),
    filter: filters.find((known) => known === search.get('show')) ?? 'all',
    setFilter: useCallback((filter: Filter) => put({ show: filter === 'all' ? undefined : filter }), [put]),
    view,
    zoomed: view !== whole,
    setView: useCallback((next: View | undefined) => put({ view: next && viewWord(next) }), [put]),
    rawClocks: search.get('clocks') === 'raw',
    setRawClocks: useCallback((raw: boolean) => put({ clocks: raw ? 'raw' : undefined }), [put]),
  }
}

export type TraceState = ReturnType<typeof useTraceState>
