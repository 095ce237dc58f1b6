import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { expect, it } from 'vitest'
import { Action, type HistoryEntry } from '@/api/gen/gantry/v1/release_pb'
import { belongsTo, inForce } from './inForce'

const entry = (at: number, action: Action, version: number) =>
  ({ at: timestampFromMs(at), action, version: BigInt(version) }) as HistoryEntry

// Newest first, as the API tells it.
const history = [
  entry(70, Action.DELETED, 0),
  entry(60, Action.ROLLED_BACK, 1),
  entry(50, Action.PROMOTED, 2),
  entry(45, Action.STAGED, 2),
  entry(40, Action.ABORTED, 2),
  entry(30, Action.STAGED, 2),
  entry(25, Action.PUBLISHED, 2),
  entry(10, Action.RELEASED, 1),
  entry(10, Action.PUBLISHED, 1),
]

it.each([
  [5, undefined, undefined],
  [10, 1, undefined],
  [29, 1, undefined],
  [30, 1, 2],
  [44, 1, undefined],
  [45, 1, 2],
  [55, 2, undefined],
  [65, 1, undefined],
  [99, undefined, undefined],
])('at %i', (at, version, staged) => {
  const state = inForce(history, at)
  expect([state.version, state.staged]).toEqual([version, staged].map((n) => (n === undefined ? n : BigInt(n))))
})

it.each([
  ['loan.yaml', true],
  ['loan', true],
  ['loan-blue.yaml', true],
  ['loans.yaml', false],
  ['portal.yaml', false],
])('%s', (name, yes) => expect(belongsTo(name, 'loan')).toBe(yes))
