import { queryOptions, useQuery, useQueryClient } from '@tanstack/react-query'
import { Code, ConnectError } from '@connectrpc/connect'
import { createContext, lazy, Suspense, useContext, useEffect, useMemo, type ReactNode } from 'react'
import type { Role } from '@/api/gen/gantry/v1/access_pb'
import { access } from '@/api/clients'
import { onSignedOut } from '@/api/transport'
import { Failure } from '@/ui/Failure'
import { granted } from './roles'

// Who looks. The token is in a cookie that scripts cannot read: this side knows only what WhoAmI says.

const Login = lazy(() => import('./Login'))
const sessionKey = ['session'] as const

/** Asked before anything is rendered: everything waits for it. */
export const whoAmI = queryOptions({
  queryKey: sessionKey,
  queryFn: async ({ signal }) => {
    try {
      const who = await access.whoAmI({}, { signal })
      // Nobody has an answer too; without this the shell would show for a moment, and ask for what is refused.
      return who.actor === 'anonymous' && !who.authenticationOff ? null : who
    } catch (error) {
      if (ConnectError.from(error).code === Code.Unauthenticated) return null
      throw error
    }
  },
  staleTime: Infinity,
})

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

/** Shows its children to those who are signed in, and the login to others. */
export function SessionGate({ children }: { children: ReactNode }) {
  const client = useQueryClient()
  const who = useQuery(whoAmI)
  useEffect(
    () =>
      onSignedOut(() => {
        // What was read with the old session must not be seen by the next.
        if (client.getQueryData(sessionKey) === null) return
        client.setQueryData(sessionKey, null)
      }),
    [client],
  )
  const session = useMemo<Session | undefined>(() => {
    const data = who.data
    if (!data) return undefined
    return {
      actor: data.actor,
      authenticationOff: data.authenticationOff,
      can: (role, namespace) => data.authenticationOff || granted(data.grants, role, namespace),
      logout: async () => {
        await fetch('/console/session', { method: 'DELETE', credentials: 'same-origin' })
        // The gate looks at this query: taken away with the others, it would not be told.
        client.setQueryData(sessionKey, null)
        client.removeQueries({ predicate: (query) => query.queryKey[0] !== sessionKey[0] })
      },
    }
  }, [who.data, client])

  if (who.error) return <Failure error={who.error} retry={() => void who.refetch()} />
  if (who.data === null)
    return (
      <Suspense>
        <Login
          done={async () => {
            client.removeQueries({ predicate: (query) => query.queryKey[0] !== sessionKey[0] })
            await client.invalidateQueries({ queryKey: sessionKey })
          }}
        />
      </Suspense>
    )
  if (!session) return null
  return <Context.Provider value={session}>{children}</Context.Provider>
}
