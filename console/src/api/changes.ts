import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { events } from './clients'

/** What was changed since some milliseconds ago, newest first. */
export const changesSince = (namespace: string, ms: number, signal?: AbortSignal, service = '') =>
  events.changes({ namespace, service, since: timestampFromMs(Date.now() - ms), limit: 200 }, { signal })
