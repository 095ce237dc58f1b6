import { queryOptions, useQuery, useQueryClient, type Query, type QueryClient } from '@tanstack/react-query'
import { Code, ConnectError } from '@connectrpc/connect'
import {
  createContext,
  Fragment,
  lazy,
  Suspense,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  type ReactNode,
} from 'react'
import type { Role, WhoAmIResponse } from '@/api/gen/gantry/v1/access_pb'
import { access } from '@/api/clients/access'
import { onSignedOut } from '@/api/transport'
import { Failure } from '@/ui/Failure'
import { reconnect } from './live'
import { granted } from './roles'

// Who looks. The token is in a cookie that scripts cannot read: this side knows only what WhoAmI says.

const Login = lazy(() => import('./Login'))
const sessionKey = ['session'] as const

export interface Session {
  /** As in the audit: "user:ann". Empty when authentication is off. */
  actor: string
  authenticationOff: boolean
  /** Hides or explains what the server would refuse; the server decides all the same. */
  can: (role: Role, namespace: string) => boolean
  logout: () => Promise<void>
}

const Context = createContext<Session | undefined>(undefined)

export function useSession(): Session {
  const session = useContext(Context)
  if (!session) throw new Error('useSession outside of SessionGate')
  return session
}

/** Whether nobody signs in here. What is asked in a dialog of the whole app stands outside of the session. */
export const useAuthenticationOff = (): boolean => useContext(Context)?.authenticationOff ?? false

type Who = WhoAmIResponse

/** Who is signed in; null when nobody is. */
async function askWho(signal: AbortSignal): Promise<Who | null> {
  try {
    const who = await access.whoAmI({}, { signal })
    // Nobody has an answer too; without this the shell would show for a moment, and ask for what is refused.
    return who.actor === 'anonymous' && !who.authenticationOff ? null : who
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) return null
    throw error
  }
}

/** Asked before anything is rendered: everything waits for it. */
export const whoAmI = queryOptions({
  queryKey: sessionKey,
  queryFn: ({ signal }) => askWho(signal),
  staleTime: Infinity,
})

// The gate looks at its own query: taken away with the others, it would not be told.
const others = { predicate: (query: Query) => query.queryKey[0] !== sessionKey[0] }

/** What was read in the name of one must not be seen by the next. What was asked goes with the shell. */
const forget = (client: QueryClient) => client.removeQueries(others)

/**
 * Shows its children to those who are signed in, and the login to others. When a session ends by itself the page stays as it is, with what was typed, and the login lies over it: who
 * comes back goes on where they were. For another user everything begins anew, at the same address.
 */
export function SessionGate({ children }: { children: ReactNode }) {
  const client = useQueryClient()
  // Who signed in last and has not signed out.
  const [last, setLast] = useState<Who>()
  const who = useQuery({
    ...whoAmI,
    queryFn: async ({ signal }) => {
      const next = await askWho(signal)
      if (next && last && next.actor !== last.actor) forget(client)
      return next
    },
    // It may be that another tab signed in.
    refetchOnWindowFocus: ({ state }) => (state.data === null ? 'always' : false),
  })
  if (who.data && who.data !== last) setLast(who.data)
  useEffect(() => {
    return onSignedOut(() => {
      if (client.getQueryData(sessionKey) !== null) client.setQueryData(sessionKey, null)
    })
  }, [client])
  useReturn(who.data)
  const session = useMemo<Session | undefined>(() => {
    if (!last) return undefined
    return {
      actor: last.actor,
      authenticationOff: last.authenticationOff,
      can: (role, namespace) => last.authenticationOff || granted(last.grants, role, namespace),
      logout: async () => {
        await fetch('/console/session', { method: 'DELETE', credentials: 'same-origin' })
        client.setQueryData(sessionKey, null)
        setLast(undefined)
        forget(client)
      },
    }
  }, [last, client])

  const login = who.data === null && (
    <Suspense>
      <Login over={session?.actor} done={() => client.invalidateQueries({ queryKey: sessionKey })} />
    </Suspense>
  )
  if (session)
    return (
      <Context.Provider value={session}>
        <Fragment key={session.actor}>{children}</Fragment>
        {login}
      </Context.Provider>
    )
  if (who.error) return <Failure error={who.error} retry={() => void who.refetch()} />
  return login || null
}

/** Whoever comes back is shown nothing that is old: what was asked in between was refused. */
function useReturn(who: Who | null | undefined) {
  const client = useQueryClient()
  const before = useRef<Who | null>(undefined)
  useEffect(() => {
    if (before.current === null && who) {
      void client.invalidateQueries(others)
      reconnect()
    }
    before.current = who
  }, [who, client])
}
