import { Code, ConnectError, type Interceptor } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-web'
import { ErrorDetailSchema } from './gen/gantry/v1/error_pb'

type Listener = () => void
const listeners = new Set<Listener>()

/** Tells when the server says that the session is over. */
export function onSignedOut(listener: Listener): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

export const tellSignedOut = () => listeners.forEach((tell) => tell())

/** Whether an error says that nobody is signed in. A wrong old password is "unauthenticated" too, and the session goes on. */
export function isSignedOut(error: unknown): boolean {
  const said = ConnectError.from(error)
  return (
    said.code === Code.Unauthenticated && said.findDetails(ErrorDetailSchema)[0]?.reason !== 'access.bad_credentials'
  )
}

const watchSession: Interceptor = (next) => async (request) => {
  try {
    return await next(request)
  } catch (error) {
    if (isSignedOut(error)) tellSignedOut()
    throw error
  }
}

// Same origin: the session's cookie goes along by itself, and there is no token that a script could read.
export const transport = createConnectTransport({ baseUrl: '/', interceptors: [watchSession] })
