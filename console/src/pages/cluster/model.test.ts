import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { StatusResponseSchema } from '@/api/gen/gantry/v1/cluster_pb'
import { bears, healthOf, isLagging, isScarce, rowsOf, versions } from './model'

const status = (more: MessageInitShape<typeof StatusResponseSchema> = {}) =>
  create(StatusResponseSchema, {
    quorum: true,
    revision: 5000n,
    nodes: [
      { id: '1', name: 'n1', memoryBytes: 1n, mirroredRevision: 5000n, version: 'v1' },
      { id: '2', name: 'n2', memoryBytes: 1n, mirroredRevision: 3000n, version: 'v1' },
      { id: '3', name: 'n3', memoryBytes: 1n, mirroredRevision: 5001n, version: 'v2' },
    ],
    members: [
      { id: 'a', name: 'n1', leader: true },
      { id: 'b', name: 'n2' },
      { id: 'c', name: 'n3', learner: true },
    ],
    ...more,
  })

test('nodes and members that belong together are one row', () => {
  const rows = rowsOf(status())
  expect(rows.map((row) => [row.name, row.role, row.state, row.lag])).toEqual([
    ['n1', 'leader', 'up', 0],
    ['n2', 'voter', 'up', 2000],
    ['n3', 'learner', 'up', 0],
  ])
  expect(rows.map((row) => isLagging(row.lag))).toEqual([false, true, false])
})

test('members that do not run, never ran, and nodes that do not answer', () => {
  const rows = rowsOf(
    status({
      nodes: [{ id: '1', name: 'n1' }],
      members: [
        { id: 'a', name: 'n1', leader: true },
        { id: 'b', name: 'n2' },
        { id: 'c', name: '' },
      ],
    }),
  )
  expect(rows.map((row) => [row.name, row.state])).toEqual([
    ['c', 'notStarted'],
    ['n1', 'silent'],
    ['n2', 'missing'],
  ])
})

test('an etcd of one’s own has no members', () =>
  expect(rowsOf(status({ members: [] })).map((row) => row.role)).toEqual(['external', 'external', 'external']))

test('health', () => {
  expect(healthOf(status())).toBe('well')
  expect(healthOf(status({ warnings: ['certificate'] }))).toBe('look')
  expect(healthOf(status({ nodes: [] }))).toBe('look')
  expect(healthOf(status({ unwritable: 'disk' }))).toBe('unwritable')
  expect(healthOf(status({ quorum: false, unwritable: 'x' }))).toBe('noQuorum')
})

test('how many may be lost', () => {
  const of = (voters: number, up: number) => {
    const names = Array.from({ length: voters }, (_, i) => `n${i}`)
    return bears(
      status({
        members: names.map((name) => ({ id: name, name })),
        nodes: names.slice(0, up).map((name) => ({ id: name, name, memoryBytes: 1n })),
      }),
    )
  }
  expect([of(1, 1), of(2, 2), of(3, 3), of(3, 2), of(5, 5), of(5, 3), of(3, 1)]).toEqual([0, 0, 1, 0, 2, 0, 0])
})

test('versions and disk', () => {
  expect(versions(status())).toEqual(['v1', 'v2'])
  expect(versions(status({ nodes: [{ id: '1', version: 'v1' }] }))).toEqual([])
  expect([isScarce(0n), isScarce(1n << 29n), isScarce(1n << 31n)]).toEqual([false, true, false])
})
