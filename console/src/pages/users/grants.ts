import { Role, type Grant } from '@/api/gen/gantry/v1/access_pb'

export const roleWords = {
  [Role.VIEWER]: 'viewer',
  [Role.DEVELOPER]: 'developer',
  [Role.RELEASER]: 'releaser',
  [Role.ADMIN]: 'admin',
  [Role.SERVICE]: 'service',
  [Role.UNSPECIFIED]: 'unknown',
} as const satisfies Record<Role, string>

/** From the least to the most, and that of programs. */
export const roles = [Role.VIEWER, Role.DEVELOPER, Role.RELEASER, Role.ADMIN, Role.SERVICE] as const

export interface Row {
  namespace: string
  role: Role
}

export const rowsOf = (grants: readonly Pick<Grant, 'namespace' | 'role'>[]): Row[] =>
  grants.map(({ namespace, role }) => ({ namespace, role }))

/** What is sent: without rows that name no namespace, and each grant once. */
export function grantsOf(rows: readonly Row[]): Row[] {
  const seen = new Set<string>()
  return rows
    .map((row) => ({ namespace: row.namespace.trim(), role: row.role }))
    .filter((row) => {
      const name = `${row.role} ${row.namespace}`
      if (row.namespace === '' || seen.has(name)) return false
      seen.add(name)
      return true
    })
}

export const sameGrants = (a: readonly Row[], b: readonly Row[]) => {
  const words = (rows: readonly Row[]) =>
    rows
      .map((row) => `${row.role} ${row.namespace}`)
      .sort()
      .join('\n')
  return words(a) === words(b)
}

/** The most first, and what holds everywhere before what holds in one namespace: where a line is too short, what is cut is the least. */
export const strongestFirst = <G extends Pick<Grant, 'namespace' | 'role'>>(grants: readonly G[]): G[] => {
  const rank = ({ role }: G) => (role === Role.SERVICE ? 0 : role)
  return [...grants].sort(
    (a, b) =>
      rank(b) - rank(a) ||
      Number(b.namespace === '*') - Number(a.namespace === '*') ||
      a.namespace.localeCompare(b.namespace),
  )
}
