import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { expect, test } from 'vitest'
import { ChangeSchema } from '@/api/gen/gantry/v1/event_pb'
import { markersOf, merge } from './changes'

const change = (id: string, second: number, kind: string, more: object = {}) =>
  create(ChangeSchema, { id, time: timestampFromMs(second * 1000), kind, ...more })

test('releases of other documents are not of this service', () => {
  const own = [
    change('3', 30, 'instance.draining', { instance: 'a' }),
    change('1', 10, 'instance.registered', { instance: 'b' }),
  ]
  const released = [
    change('2', 20, 'release.released', { target: 'Config/loan.yaml' }),
    change('4', 40, 'release.released', { target: 'Config/other.yaml' }),
  ]
  const documents = new Set(['Config/loan.yaml'])
  expect(merge(own, released, documents).map((c) => c.id)).toEqual(['3', '2', '1'])
  expect(merge(own, released, documents, 'a').map((c) => c.id)).toEqual(['3', '2'])
})

test('what happens together is one line of a chart', () => {
  const markers = markersOf([
    change('1', 10, 'instance.registered', { instance: 'a' }),
    change('2', 11, 'instance.registered', { instance: 'b' }),
    change('3', 12, 'release.published', { target: 'Config/x' }),
    change('4', 12, 'release.released', { target: 'Config/x' }),
    change('5', 90, 'instance.registered', { instance: 'c' }),
  ])
  expect(markers.map((m) => m.text).sort()).toEqual([
    '2 × instance.registered',
    'instance.registered c',
    'release.released Config/x',
  ])
})
