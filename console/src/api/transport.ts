import { Code, ConnectError, type Interceptor } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-web'

type Listener = () => void
const listeners = new Set<Listener>()

/** Tells when the server says that the session is over. */
export function onSignedOut(listener: Listener): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

export const tellSignedOut = () => listeners.forEach((tell) => tell())

const watchSession: Interceptor = (next) => async (request) => {
  try {
    return await next(request)
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) tellSignedOut()
    throw error
  }
}

// Same origin: the session's cookie goes along by itself, and there is no token that a script could read.
export const transport = createConnectTransport({ baseUrl: '/', interceptors: [watchSession] })
