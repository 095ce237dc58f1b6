import { create } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import { expect, test } from 'vitest'
import { ChangeSchema } from '@/api/gen/gantry/v1/event_pb'
import { LiveHintSchema, LiveTickSchema } from '@/api/gen/gantry/v1/live_pb'
import { isRefusal, topicsOf } from './live'

const before = create(LiveHintSchema, { services: 3n, documents: 5n, alerts: 1n, changes: 0n })

test('a hint makes old what moved, and nothing else', () => {
  expect(topicsOf({ case: 'hint', value: create(LiveHintSchema, { ...before, alerts: 2n }) }, before)).toEqual([
    'alerts',
  ])
  expect(topicsOf({ case: 'hint', value: create(LiveHintSchema, { ...before }) }, before)).toEqual([])
  expect(topicsOf({ case: 'hint', value: before }, undefined)).toEqual(['services', 'documents', 'alerts', 'changes'])
})

test('changes, and ticks, by which nothing moved', () => {
  expect(topicsOf({ case: 'change', value: create(ChangeSchema, { kind: 'release.staged' }) }, before)).toEqual([
    'changes',
    'documents',
  ])
  expect(topicsOf({ case: 'change', value: create(ChangeSchema, { kind: 'instance.removed' }) }, before)).toEqual([
    'changes',
    'services',
  ])
  expect(topicsOf({ case: 'tick', value: create(LiveTickSchema, {}) }, before)).toEqual([])
})

test('a namespace that is not there, or not for who looks, is no broken line', () => {
  expect(isRefusal(new ConnectError('no namespace "x"', Code.NotFound))).toBe(true)
  expect(isRefusal(new ConnectError('vera may not view', Code.PermissionDenied))).toBe(true)
  expect(isRefusal(new ConnectError('the node is leaving', Code.Unavailable))).toBe(false)
  expect(isRefusal(new TypeError('Failed to fetch'))).toBe(false)
})
