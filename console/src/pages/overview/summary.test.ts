import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { expect, test } from 'vitest'
import { ChangeSchema } from '@/api/gen/gantry/v1/event_pb'
import { Health, InstanceSchema, ServiceSchema, Status } from '@/api/gen/gantry/v1/instance_pb'
import { ServiceFigureSchema } from '@/api/gen/gantry/v1/topology_pb'
import { attention, countInstances, groupChanges, serviceState } from './summary'

const service = (name: string, instances: number, available: number) =>
  create(ServiceSchema, { ref: { service: name }, instances, available })

test('a service is as well as its instances', () => {
  expect(serviceState({ instances: 0, available: 0 })).toBe('empty')
  expect(serviceState({ instances: 3, available: 0 })).toBe('unavailable')
  expect(serviceState({ instances: 3, available: 2 })).toBe('degraded')
  expect(serviceState({ instances: 3, available: 3 })).toBe('healthy')
})

test('what an operator set counts before what the instance says', () => {
  expect(
    countInstances([
      create(InstanceSchema, { status: Status.UP, health: Health.HEALTHY }),
      create(InstanceSchema, { status: Status.UP, health: Health.UNHEALTHY }),
      create(InstanceSchema, { status: Status.UP, health: Health.HEALTHY, override: { status: Status.DRAINING } }),
      create(InstanceSchema, { status: Status.DOWN, health: Health.UNHEALTHY }),
    ]),
  ).toEqual({ up: 1, starting: 0, draining: 1, lost: 1, down: 1 })
})

test('what needs a look, the worst first', () => {
  const figures = [
    create(ServiceFigureSchema, { service: 'well', figures: { calls: 1000n, failed: 1n } }),
    create(ServiceFigureSchema, { service: 'failing', figures: { calls: 100n, failed: 20n } }),
  ]
  const list = attention(
    [
      service('well', 2, 2),
      service('failing', 2, 2),
      service('half', 2, 1),
      service('gone', 2, 0),
      service('none', 0, 0),
    ],
    figures,
  )
  expect(list.map((a) => a.service.ref?.service)).toEqual(['gone', 'half', 'failing'])
})

test('what says the same within a minute is one line', () => {
  const change = (kind: string, service: string, instance: string, second: number) =>
    create(ChangeSchema, {
      kind,
      service,
      target: `default/${service}/${instance}`,
      time: timestampFromMs(second * 1000),
    })
  const groups = groupChanges([
    change('instance.registered', 'a', '1', 300),
    change('instance.registered', 'b', '1', 299),
    change('instance.registered', 'a', '2', 298),
    change('instance.removed', 'a', '2', 297),
    change('instance.registered', 'a', '3', 100),
    change('release.released', '', 'x', 50),
    change('release.released', '', 'y', 50),
  ])
  expect(groups.map((group) => `${group.first.kind} ${group.first.service} ${group.count}`)).toEqual([
    'instance.registered a 2',
    'instance.registered b 1',
    'instance.removed a 1',
    'instance.registered a 1',
    'release.released  1',
    'release.released  1',
  ])
})
