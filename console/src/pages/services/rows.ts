import type { Instance, Service } from '@/api/gen/gantry/v1/instance_pb'
import type { Figures, ServiceFigure } from '@/api/gen/gantry/v1/topology_pb'
import type { RangeAnswer } from '@/api/prometheus'
import { stateOf } from '@/ui/states'

/** What can be said of a service in one word; `signals` sends signals and is not registered. */
export type ServiceState = 'healthy' | 'degraded' | 'unavailable' | 'empty' | 'signals'

/** How many of its instances are how. Protected ones are lost, too: they are kept because too many were lost at once. */
export interface Counts {
  up: number
  starting: number
  draining: number
  down: number
  lost: number
  protected: number
}

export const conditions = ['starting', 'draining', 'down', 'lost', 'protected'] as const
export type Condition = (typeof conditions)[number]

export interface ServiceRow {
  key: string
  name: string
  group: string
  state: ServiceState
  available: number
  instances: number
  /** The service is under protection. */
  protected: boolean
  counts: Counts
  versions: string[]
  lanes: string[]
  protocols: string[]
  figures?: Figures
  /** Calls a second over the last minutes. */
  trend?: (number | null)[]
}

export function stateOfService(service: Pick<Service, 'instances' | 'available'>): Exclude<ServiceState, 'signals'> {
  if (service.instances === 0) return 'empty'
  if (service.available === 0) return 'unavailable'
  return service.available < service.instances ? 'degraded' : 'healthy'
}

const noCounts = (): Counts => ({ up: 0, starting: 0, draining: 0, down: 0, lost: 0, protected: 0 })

export function countStates(
  instances: Iterable<Pick<Instance, 'status' | 'health' | 'override' | 'protected'>>,
): Counts {
  const counts = noCounts()
  for (const instance of instances) {
    const state = stateOf(instance)
    if (state === 'unhealthy') counts.lost++
    else if (state === 'up' || state === 'starting' || state === 'draining' || state === 'down') counts[state]++
    if (instance.protected) counts.protected++
  }
  return counts
}

/** By name, 2 before 10. */
export const byName = new Intl.Collator('en', { numeric: true }).compare
const keyOf = (group: string, name: string) => `${group}/${name}`

/** Puts together what the registry, the figures and the series know of each service. Figures know names alone, so that two groups with one name share them. */
export function rowsOf(
  services: readonly Service[],
  instances: readonly Instance[],
  figures: readonly ServiceFigure[],
  rates: RangeAnswer | undefined,
): ServiceRow[] {
  const figureOf = new Map(figures.map((figure) => [figure.service, figure.figures]))
  const trendOf = new Map((rates?.series ?? []).map((series) => [series.labels['service'] ?? '', series.values]))
  const instancesOf = new Map<string, Instance[]>()
  for (const instance of instances) {
    const key = keyOf(instance.service?.group ?? '', instance.service?.service ?? '')
    const known = instancesOf.get(key)
    if (known) known.push(instance)
    else instancesOf.set(key, [instance])
  }
  const registered = new Set<string>()
  const rows = services.map((service): ServiceRow => {
    const name = service.ref?.service ?? ''
    const group = service.ref?.group ?? ''
    const key = keyOf(group, name)
    const own = instancesOf.get(key) ?? []
    registered.add(name)
    return {
      key,
      name,
      group,
      state: stateOfService(service),
      available: service.available,
      instances: service.instances,
      protected: service.protected,
      counts: countStates(own),
      versions: [...service.versions].sort(byName),
      lanes: [...new Set(own.flatMap((instance) => instance.labels['lane'] || []))].sort(byName),
      protocols: [...service.protocols].sort(byName),
      figures: figureOf.get(name),
      trend: trendOf.get(name),
    }
  })
  for (const { service: name, figures: known } of figures) {
    if (registered.has(name)) continue
    rows.push({
      key: keyOf('', name),
      name,
      group: '',
      state: 'signals',
      available: 0,
      instances: 0,
      protected: false,
      counts: noCounts(),
      versions: [],
      lanes: [],
      protocols: [],
      figures: known,
      trend: trendOf.get(name),
    })
  }
  return rows.sort((a, b) => byName(a.name, b.name) || byName(a.group, b.group))
}

export const filterNames = ['state', 'lane', 'protocol', 'version', 'group'] as const
export type FilterName = (typeof filterNames)[number]

/** Of each name any of the values; nothing means all. */
export type Filters = Record<FilterName, readonly string[]> & { search: string }

/** What the address says. */
export function filtersOf(search: URLSearchParams): Filters {
  const of = (name: FilterName) => search.getAll(name).filter(Boolean)
  return {
    search: search.get('q') ?? '',
    state: of('state'),
    lane: of('lane'),
    protocol: of('protocol'),
    version: of('version'),
    group: of('group'),
  }
}

export const isFiltered = (filters: Filters) =>
  filters.search !== '' || filterNames.some((name) => filters[name].length > 0)

/** What a row has under a name of a filter. */
export function valuesOf(row: ServiceRow, name: FilterName): readonly string[] {
  switch (name) {
    case 'state':
      return [row.state, ...conditions.filter((condition) => row.counts[condition] > 0)]
    case 'lane':
      return row.lanes
    case 'protocol':
      return row.protocols
    case 'version':
      return row.versions
    case 'group':
      return row.group ? [row.group] : []
  }
}

export function filtered(rows: readonly ServiceRow[], filters: Filters): ServiceRow[] {
  const words = filters.search.toLowerCase().split(/\s+/).filter(Boolean)
  return rows.filter((row) => {
    const text = row.key.toLowerCase()
    return (
      words.every((word) => text.includes(word)) &&
      filterNames.every((name) => {
        const wanted = filters[name]
        return wanted.length === 0 || valuesOf(row, name).some((value) => wanted.includes(value))
      })
    )
  })
}

/** What can be chosen: the values that there are, and those that are chosen, in order. */
export function choicesOf(rows: readonly ServiceRow[], name: FilterName, chosen: readonly string[]): string[] {
  const values = new Set(chosen)
  for (const row of rows) for (const value of valuesOf(row, name)) values.add(value)
  return [...values].sort(byName)
}
