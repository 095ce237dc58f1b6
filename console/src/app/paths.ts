// Where pages are. Everything that links builds its path here, so that names are escaped once and a page can move.

const e = encodeURIComponent

/** A path with a query; empty values are left out. */
export function withQuery(path: string, query: Record<string, string | undefined>): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value)
  const text = search.toString()
  return text ? `${path}?${text}` : path
}

export const paths = {
  overview: (ns: string) => `/${e(ns)}/overview`,
  services: (ns: string) => `/${e(ns)}/services`,
  service: (ns: string, service: string, group = 'default') =>
    withQuery(`/${e(ns)}/services/${e(service)}`, { group: group === 'default' ? '' : group }),
  instance: (ns: string, service: string, instance: string, group = 'default') =>
    withQuery(`/${e(ns)}/services/${e(service)}/instances/${e(instance)}`, { group: group === 'default' ? '' : group }),
  map: (ns: string) => `/${e(ns)}/map`,
  documents: (ns: string) => `/${e(ns)}/documents`,
  document: (ns: string, kind: string, name: string) => `/${e(ns)}/documents/${e(kind)}/${e(name)}`,
  traces: (ns: string) => `/${e(ns)}/traces`,
  trace: (ns: string, id: string) => `/${e(ns)}/traces/${e(id)}`,
  compare: (ns: string, left: string, right = '') => withQuery(`/${e(ns)}/traces/compare`, { left, right }),
  errors: (ns: string) => `/${e(ns)}/errors`,
  events: (ns: string) => `/${e(ns)}/events`,
  alerts: (ns: string) => `/${e(ns)}/alerts`,
  alert: (ns: string, kind: string, name: string) => `/${e(ns)}/alerts/${e(kind)}/${e(name)}`,
  audit: (ns: string) => `/${e(ns)}/audit`,
  users: (ns: string) => `/${e(ns)}/users`,
  cluster: (ns: string) => `/${e(ns)}/cluster`,
}
