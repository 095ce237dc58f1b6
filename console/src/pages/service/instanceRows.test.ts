import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { Health, InstanceSchema, Status } from '@/api/gen/gantry/v1/instance_pb'
import { instanceRows, searched } from './instanceRows'

const instance = (id: string, more: object = {}) =>
  create(InstanceSchema, { id, status: Status.UP, health: Health.HEALTHY, address: '10.0.0.1', port: 80, ...more })

const rows = instanceRows(
  [
    instance('loan-10', { labels: { zone: 'a', version: 'v2' } }),
    instance('loan-2', { labels: { zone: 'ab' }, address: 'fe80::1' }),
    instance('loan-3', { health: Health.UNHEALTHY, protected: true }),
  ],
  [],
)
const ids = (search: string, states: string[] = []) => searched(rows, search, states).map((row) => row.id)

test('instances are in the order of their numbers, and addresses can be dialled', () => {
  expect(ids('')).toEqual(['loan-2', 'loan-3', 'loan-10'])
  expect(rows[0]!.address).toBe('[fe80::1]:80')
})

test('a label is asked for exactly, the rest by its part', () => {
  expect(ids('zone=a')).toEqual(['loan-10'])
  expect(ids('LOAN- v2')).toEqual(['loan-10'])
  expect(ids('', ['protected'])).toEqual(['loan-3'])
  expect(ids('', ['unhealthy', 'draining'])).toEqual(['loan-3'])
})
