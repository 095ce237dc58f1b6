import type { CheckState, Instance } from '@/api/gen/gantry/v1/instance_pb'
import { CheckStatus } from '@/api/gen/gantry/v1/instance_pb'
import type { InstanceFigure } from '@/api/gen/gantry/v1/topology_pb'
import { weightOf } from '@/pages/instance/operate/override'
import { stateOf, type State } from '@/ui/states'

export interface InstanceRow {
  id: string
  instance: Instance
  figure?: InstanceFigure
  state: State
  weight: number
  version: string
  lane: string
  zone: string
  release: string
  address: string
}

/** What the registry and the signals know of each instance. */
export function instanceRows(instances: readonly Instance[], figures: readonly InstanceFigure[]): InstanceRow[] {
  const byId = new Map(figures.map((figure) => [figure.instance, figure]))
  return instances
    .map((instance): InstanceRow => {
      const figure = byId.get(instance.id)
      return {
        id: instance.id,
        instance,
        figure,
        state: stateOf(instance),
        weight: weightOf(instance),
        version: instance.labels['version'] ?? figure?.version ?? '',
        lane: instance.labels['lane'] ?? figure?.lane ?? '',
        zone: instance.labels['zone'] ?? figure?.zone ?? '',
        release: instance.labels['release'] ?? figure?.release ?? '',
        address: instance.address.includes(':')
          ? `[${instance.address}]:${instance.port}`
          : `${instance.address}:${instance.port}`,
      }
    })
    .sort((a, b) => compare(a.id, b.id))
}

export const compare = new Intl.Collator('en', { numeric: true }).compare

/** All words must fit: key=value a label exactly, anything else a part of id, address, version, lane, zone or release. */
export function searched(rows: readonly InstanceRow[], search: string, states: readonly string[]): InstanceRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean)
  return rows.filter((row) => {
    if (states.length > 0 && !states.includes(row.state) && !(row.instance.protected && states.includes('protected')))
      return false
    if (words.length === 0) return true
    const text = [row.id, row.address, row.version, row.lane, row.zone, row.release].join('\n').toLowerCase()
    return words.every((word) => {
      const [name, ...value] = word.split('=')
      if (value.length === 0) return text.includes(word)
      return Object.entries(row.instance.labels).some(
        ([key, label]) => key.toLowerCase() === name && label.toLowerCase() === value.join('='),
      )
    })
  })
}

/** How many checks pass; a warning takes traffic, and passes. */
export const passing = (states: readonly Pick<CheckState, 'status'>[]) =>
  states.filter((state) => state.status !== CheckStatus.CRITICAL && state.status !== CheckStatus.UNSPECIFIED).length
