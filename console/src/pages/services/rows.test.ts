import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { Health, InstanceSchema, ServiceSchema, Status } from '@/api/gen/gantry/v1/instance_pb'
import { ServiceFigureSchema } from '@/api/gen/gantry/v1/topology_pb'
import { choicesOf, filtered, filtersOf, rowsOf } from './rows'

const service = (name: string, instances: number, available: number, more: object = {}) =>
  create(ServiceSchema, {
    ref: { namespace: 'default', group: 'default', service: name },
    instances,
    available,
    ...more,
  })
const instance = (of: string, more: object) =>
  create(InstanceSchema, {
    service: { namespace: 'default', group: 'default', service: of },
    status: Status.UP,
    health: Health.HEALTHY,
    ...more,
  })

const rows = rowsOf(
  [
    service('loan', 4, 1, { versions: ['v10', 'v9'], protocols: ['native'] }),
    service('fund', 1, 1, { protocols: ['nacos'], versions: ['v9'] }),
    service('old', 0, 0),
  ],
  [
    instance('loan', { labels: { lane: 'blue' } }),
    instance('loan', { override: { status: Status.DRAINING }, labels: { lane: 'green' } }),
    instance('loan', { health: Health.UNHEALTHY, protected: true, labels: { lane: 'blue' } }),
    instance('loan', { status: Status.DOWN, health: Health.UNHEALTHY }),
    instance('fund', {}),
  ],
  [
    create(ServiceFigureSchema, { service: 'loan', figures: { calls: 7n } }),
    create(ServiceFigureSchema, { service: 'stray', figures: { calls: 1n } }),
  ],
  { times: [1, 2], series: [{ labels: { service: 'fund' }, values: [1, null] }] },
)
const names = (query: string) => filtered(rows, filtersOf(new URLSearchParams(query))).map((row) => row.name)

test('a row is what registry, figures and series know of a service', () => {
  expect(rows.map((row) => [row.name, row.state])).toEqual([
    ['fund', 'healthy'],
    ['loan', 'degraded'],
    ['old', 'empty'],
    ['stray', 'signals'],
  ])
  const loan = rows[1]!
  expect(loan.counts).toEqual({ up: 1, starting: 0, draining: 1, down: 1, lost: 1, protected: 1 })
  expect(loan.lanes).toEqual(['blue', 'green'])
  expect(loan.versions).toEqual(['v9', 'v10'])
  expect(loan.figures?.calls).toBe(7n)
  expect(rows[0]!.trend).toEqual([1, null])
})

test('any value of a filter is enough, all filters must fit', () => {
  expect(names('')).toHaveLength(4)
  expect(names('q=LOA')).toEqual(['loan'])
  expect(names('q=default+loan')).toEqual(['loan'])
  expect(names('version=v9')).toEqual(['fund', 'loan'])
  expect(names('version=v9&protocol=nacos')).toEqual(['fund'])
  expect(names('state=protected&state=empty')).toEqual(['loan', 'old'])
  expect(names('lane=green&state=healthy')).toEqual([])
})

test('what was chosen stays to be chosen although nothing has it any more', () => {
  expect(choicesOf(rows, 'lane', ['red'])).toEqual(['blue', 'green', 'red'])
})
