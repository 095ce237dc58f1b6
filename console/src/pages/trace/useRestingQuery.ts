import { useEffect, useLayoutEffect, useMemo, useState, useSyncExternalStore } from 'react'
import { useSearchParams } from 'react-router'
import { merged, RestingQuery, type Changes } from './resting'

/** The query string with what is not in the address yet, and how to change it: at once here, in the address when it rests or the page is left. */
export function useRestingQuery(): [URLSearchParams, (changes: Changes) => void] {
  const [search, setSearch] = useSearchParams()
  const address = search.toString()
  const [query] = useState(() => new RestingQuery(address))
  useLayoutEffect(() => {
    query.moved(address, (changes) => setSearch((old) => merged(old.toString(), changes), { replace: true }))
  }, [query, address, setSearch])
  useEffect(() => {
    // Without the router: it would begin a navigation, and the one that is under way would take its place. Who comes back finds the address as it is put here.
    const leave = () => {
      const changes = query.pending()
      if (!changes) return
      const { pathname, search, hash } = location
      const left = merged(search, changes)
      history.replaceState(history.state, '', pathname + (left && `?${left}`) + hash)
    }
    addEventListener('click', leave, { capture: true })
    addEventListener('pagehide', leave)
    return () => {
      removeEventListener('click', leave, { capture: true })
      removeEventListener('pagehide', leave)
      query.stop()
    }
  }, [query])
  const shown = useSyncExternalStore(query.subscribe, query.shown)
  return [useMemo(() => new URLSearchParams(shown), [shown]), query.put]
}
