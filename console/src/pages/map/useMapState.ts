import { useCallback, useMemo } from 'react'
import { useSearchParams } from 'react-router'
import { parseState, type MapState } from './state'

/** What the map shows, from the query string. Moving it back and forth in time makes no history. */
export function useMapState(): {
  state: MapState
  set: (change: Partial<Record<keyof MapState, string | undefined>>) => void
} {
  const [search, setSearch] = useSearchParams()
  const state = useMemo(() => parseState(search), [search])
  const set = useCallback(
    (change: Partial<Record<keyof MapState, string | undefined>>) =>
      setSearch(
        (old) => {
          const next = new URLSearchParams(old)
          for (const [name, value] of Object.entries(change)) {
            if (value) next.set(name, value)
            else next.delete(name)
          }
          return next
        },
        { replace: true },
      ),
    [setSearch],
  )
  return { state, set }
}
