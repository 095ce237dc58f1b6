import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { expect, test } from 'vitest'
import { AppliedSummarySchema, DocumentSchema } from '@/api/gen/gantry/v1/release_pb'
import { isMoving, troubleOf } from './useDocuments'

const now = Date.parse('2026-01-01T12:00:00Z')
const listed = (
  document: MessageInitShape<typeof DocumentSchema>,
  applied: MessageInitShape<typeof AppliedSummarySchema> = {},
) => ({ document: create(DocumentSchema, document), applied: create(AppliedSummarySchema, applied) })
const minutesAgo = (minutes: number) => timestampFromMs(now - minutes * 60_000)

test('a list is asked with each tick only while instances are on their way', () => {
  const settled = { releasedVersion: 3n, updatedAt: minutesAgo(60) }
  expect(isMoving(listed(settled, { instances: 4, current: 4 }), now)).toBe(false)
  expect(isMoving(listed(settled, { instances: 4, current: 3 }), now)).toBe(true)
  expect(isMoving(listed(settled, { instances: 4, current: 3, failed: 1 }), now)).toBe(false)
  // Nobody has reported yet what was released just now.
  expect(isMoving(listed({ ...settled, updatedAt: minutesAgo(1) }), now)).toBe(true)
  expect(isMoving(listed({ latestVersion: 1n, updatedAt: minutesAgo(1) }), now)).toBe(false)
})

test('what wants to be looked at comes first', () => {
  const released = { releasedVersion: 1n }
  const order = [
    listed(released, { instances: 3, current: 2, failed: 1 }),
    listed(released, { instances: 3, current: 2 }),
    listed(released, { instances: 3, current: 3 }),
    listed(released),
    listed({ latestVersion: 1n }),
  ].map(troubleOf)
  expect(order).toEqual([...order].sort((a, b) => b - a))
  expect(new Set(order).size).toBe(5)
})
