import type { AuditRecord } from '@/api/gen/gantry/v1/access_pb'
import { paths } from '@/app/paths'

export interface Filter {
  /** A namespace, "*" for what concerns the whole cluster, or "" for all that one may see. */
  namespace: string
  actor: string
  /** The beginning of an action. */
  action: string
  target: string
}

export const everywhere = '*'

/** The filter of the query string. Without a word about where, it is the namespace that one is in. */
export function readFilter(search: URLSearchParams, namespace: string): Filter {
  const where = search.get('where')
  return {
    namespace: where === 'all' ? '' : where === 'cluster' ? everywhere : namespace,
    actor: search.get('actor')?.trim() ?? '',
    action: search.get('action') ?? '',
    target: search.get('target')?.trim() ?? '',
  }
}

/** The page of what was changed, where there is one; empty where not. here is the namespace for what belongs to none. */
export function targetPath(record: Pick<AuditRecord, 'action' | 'namespace' | 'target'>, here: string): string {
  const namespace = record.namespace && record.namespace !== everywhere ? record.namespace : here
  const slash = record.target.indexOf('/')
  switch (record.action.split('.')[0]) {
    case 'document':
      return slash > 0 ? paths.document(namespace, record.target.slice(0, slash), record.target.slice(slash + 1)) : ''
    case 'instance':
      return instancePath(namespace, record.target)
    case 'service':
      return servicePath(namespace, record.target)
    case 'receiver':
      return paths.document(namespace, 'Receiver', record.target.slice(slash + 1))
    case 'user':
      return `${paths.users(here)}?tab=users`
    case 'token':
      return `${paths.users(here)}?tab=tokens`
    case 'cluster':
      return paths.cluster(here)
    default:
      return ''
  }
}

// "service/instance", with the group in front when it is not the default.
function instancePath(namespace: string, target: string): string {
  const parts = target.split('/')
  const instance = parts.pop()
  const service = parts.pop()
  return instance && service ? paths.instance(namespace, service, instance, parts.pop()) : ''
}

function servicePath(namespace: string, target: string): string {
  const parts = target.split('/')
  const service = parts.pop()
  return service ? paths.service(namespace, service, parts.pop()) : ''
}

/** A snapshot for people: its JSON, indented. What was too long says so by itself. */
export function pretty(snapshot: string): string {
  if (!snapshot) return ''
  try {
    return JSON.stringify(JSON.parse(snapshot), null, 2)
  } catch {
    return snapshot
  }
}
