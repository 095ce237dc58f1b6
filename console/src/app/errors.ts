import { Code, ConnectError } from '@connectrpc/connect'
import { ErrorDetailSchema, type ErrorDetail } from '@/api/gen/gantry/v1/error_pb'

/** What a server said was wrong, as it said it. */
export interface Explained {
  /** The code's word, such as "permission_denied"; "network" when there was no answer. */
  code: string
  message: string
  reason?: string
  field?: string
  line?: number
  column?: number
  hint?: string
  others: Explained[]
}

function fromDetail(code: string, message: string, detail: ErrorDetail | undefined): Explained {
  return {
    code,
    message: message || detail?.message || '',
    reason: detail?.reason || undefined,
    field: detail?.field || undefined,
    line: detail?.line || undefined,
    column: detail?.column || undefined,
    hint: detail?.hint || undefined,
    others: (detail?.others ?? []).map((other) => fromDetail(code, other.message, other)),
  }
}

export function explain(error: unknown): Explained {
  if (error instanceof ConnectError) {
    const network = error.code === Code.Unknown && error.cause instanceof TypeError
    const code = network ? 'network' : Code[error.code].replace(/(?<!^)[A-Z]/g, '_$&').toLowerCase()
    return fromDetail(code, error.rawMessage, error.findDetails(ErrorDetailSchema)[0])
  }
  if (error instanceof TypeError && /fetch/i.test(error.message))
    return { code: 'network', message: error.message, others: [] }
  return { code: 'internal', message: error instanceof Error ? error.message : String(error), others: [] }
}

export const isForbidden = (error: unknown) => error instanceof ConnectError && error.code === Code.PermissionDenied

/** Whether asking again may help. */
export function isPassing(error: unknown): boolean {
  const code = explain(error).code
  return ['network', 'unavailable', 'deadline_exceeded', 'resource_exhausted', 'aborted'].includes(code)
}
