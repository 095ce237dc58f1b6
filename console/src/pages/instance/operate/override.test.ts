import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { Health, InstanceSchema, Status } from '@/api/gen/gantry/v1/instance_pb'
import { after, effect, sameAs, undoOf, weightOf } from './override'

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

test('an undo sets back what the act set, and leaves what was set after it', () => {
  const before = [instance('a'), instance('b', { override: { weight: 3 } }), instance('c'), instance('d')]
  const now = [
    instance('a', { override: { status: Status.DOWN } }),
    instance('b', { override: { status: Status.DOWN, weight: 3 } }),
    instance('c', { override: { status: Status.DRAINING } }),
  ]
  const { back, left } = undoOf(before, now, 'down', 0)
  expect(back.map((one) => one.id)).toEqual(['a', 'b'])
  expect(left.map((one) => one.id)).toEqual(['c', 'd'])
})

test('an act as a command and as a call', () => {
  const of = { namespace: 'default', group: 'blue', service: 'loan' }
  const details = { weight: 2.5, wait: 30, deregister: true, why: 'its disk' }
  expect(sameAs(of, instance('a'), 'drain', details)).toEqual({
    command: [
      ...['instance', 'drain', 'loan', 'a', '-n', 'default', '-g', 'blue', '--wait', '30s', '--deregister'],
      ...['--message', 'its disk', ''],
    ],
    call: {
      method: 'gantry.v1.InstanceService/Drain',
      message: { service: of, id: 'a', message: 'its disk', wait: '30s', deregister: true },
    },
  })
  // A call replaces both halves, so that it has to name the one that stays.
  const weighed = instance('a', { override: { weight: 5 } })
  expect(sameAs(of, weighed, 'down', { ...details, why: '' }).call).toEqual({
    method: 'gantry.v1.InstanceService/SetOverride',
    message: { service: of, id: 'a', status: 'STATUS_DOWN', weight: 5 },
  })
  expect(sameAs(of, weighed, 'weight', { ...details, why: '' }).command).toContain('2.5')
  expect(sameAs(of, weighed, 'reset', { ...details, why: '' }).call).toEqual({
    method: 'gantry.v1.InstanceService/SetOverride',
    message: { service: of, id: 'a' },
  })
})
