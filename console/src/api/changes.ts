import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { Change } from './gen/gantry/v1/event_pb'
import { events } from './clients/events'

/** Documents about alerts: what they say changes who hears of trouble, and brings none. The server leaves them out of the changes before an alert too. */
const aboutAlerts = new Set(['Alert', 'Objective', 'NotificationRoute', 'Receiver', 'Silence', 'Inhibition'])

/** Whether a change can be the cause of something: a draft changes nothing that runs. */
export const canBeCause = ({ kind, target }: Pick<Change, 'kind' | 'target'>) =>
  kind !== 'release.published' && !(kind.startsWith('release') && aboutAlerts.has(target.split('/')[0]!))

/** What was changed since some milliseconds ago, newest first. */
export const changesSince = (namespace: string, ms: number, signal?: AbortSignal, service = '') =>
  events.changes({ namespace, service, since: timestampFromMs(Date.now() - ms), limit: 200 }, { signal })
