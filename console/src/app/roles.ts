import { Role, type Grant } from '@/api/gen/gantry/v1/access_pb'

/** Whether grants give a role in a namespace. Each of viewer to admin contains the one before; service is beside them. */
export function granted(grants: readonly Pick<Grant, 'namespace' | 'role'>[], role: Role, namespace: string): boolean {
  return grants.some(
    (grant) =>
      (grant.namespace === '*' || grant.namespace === namespace) &&
      (grant.role === role || (grant.role !== Role.SERVICE && role !== Role.SERVICE && grant.role >= role)),
  )
}
