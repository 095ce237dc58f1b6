import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { Health, InstanceSchema, Status } from '@/api/gen/gantry/v1/instance_pb'
import { after, effect, weightOf } from './override'

const instance = (id: string, more: object = {}) =>
  create(InstanceSchema, { id, status: Status.UP, health: Health.HEALTHY, weight: 2, ...more })

test('an act changes one half of the override and keeps the other', () => {
  const drained = instance('a', { override: { status: Status.DRAINING, weight: 5 } })
  expect(after(drained, 'up', 0)).toEqual({ status: Status.UP, weight: 5 })
  expect(after(drained, 'weight', 7)).toEqual({ status: Status.DRAINING, weight: 7 })
  expect(after(drained, 'reset', 0)).toEqual({ status: Status.UNSPECIFIED })
  expect(after(instance('b'), 'drain', 0)).toEqual({ status: Status.DRAINING, weight: undefined })
})

test('who takes traffic is told for now and for afterwards', () => {
  const all = [
    instance('a'),
    instance('b', { override: { status: Status.DOWN } }),
    instance('c', { health: Health.UNHEALTHY }),
    instance('d', { status: Status.STARTING }),
  ]
  expect(effect(all, new Set(['a']), 'drain', 0)).toEqual({ before: 1, after: 0 })
  expect(effect(all, new Set(['a']), 'weight', 0)).toEqual({ before: 1, after: 0 })
  expect(effect(all, new Set(['b', 'c', 'd']), 'up', 0)).toEqual({ before: 1, after: 3 })
  expect(effect(all, new Set(['b']), 'reset', 0)).toEqual({ before: 1, after: 2 })
})

test('the operator’s weight stands over the instance’s own', () => {
  expect(weightOf(instance('a'))).toBe(2)
  expect(weightOf(instance('a', { override: { weight: 0 } }))).toBe(0)
  expect(weightOf(instance('a', { weight: undefined }))).toBe(1)
})
