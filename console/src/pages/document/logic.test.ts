import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import {
  Action,
  AppliedReportSchema,
  HistoryEntrySchema,
  ListResponseSchema,
  VersionSchema,
} from '@/api/gen/gantry/v1/release_pb'
import { countBy, progressOf, rollbackTarget } from './history'
import { problemsOf } from './problems'
import { rebase } from './rebase'
import { cohortFlags, cohortOf, cohortWords, formatOfName, phaseOf, textOf, words } from './reference'

// Newest first, as the server answers.
const history = (...entries: [Action, number, number][]) =>
  entries
    .map(([action, version, previous]) =>
      create(HistoryEntrySchema, { action, version: BigInt(version), previousVersion: BigInt(previous) }),
    )
    .reverse()
const versions = (...numbers: number[]) => numbers.map((n) => create(VersionSchema, { version: BigInt(n) }))

test('a rollback goes back along the trail, and never to and fro', () => {
  const released = history([Action.RELEASED, 1, 0], [Action.RELEASED, 2, 1], [Action.PROMOTED, 3, 2])
  expect(rollbackTarget(released, versions(1, 2, 3), 3n)).toBe(2n)
  const back = [...history([Action.ROLLED_BACK, 2, 3]), ...released]
  expect(rollbackTarget(back, versions(1, 2, 3), 2n)).toBe(1n)
  // What only ended a rollout took nothing from the trail.
  const ended = [...history([Action.STAGED, 4, 3], [Action.ROLLED_BACK, 3, 3]), ...released]
  expect(rollbackTarget(ended, versions(1, 2, 3, 4), 3n)).toBe(2n)
})

test('a deleted document comes back as it was; what is not kept is passed over; the first release has nothing before it', () => {
  const deleted = history([Action.RELEASED, 1, 0], [Action.RELEASED, 2, 1], [Action.DELETED, 2, 2])
  expect(rollbackTarget(deleted, versions(1, 2), 0n)).toBe(2n)
  const released = history([Action.RELEASED, 1, 0], [Action.RELEASED, 2, 1], [Action.RELEASED, 3, 2])
  expect(rollbackTarget(released, versions(1, 3), 3n)).toBe(1n)
  expect(rollbackTarget(history([Action.RELEASED, 1, 0]), versions(1), 1n)).toBeUndefined()
})

test('progress counts those that should run the version', () => {
  const report = (version: number, wanted: number, error = '') =>
    create(AppliedReportSchema, { version: BigInt(version), wantedVersion: BigInt(wanted), error })
  const reports = [report(2, 2), report(1, 2), report(2, 2, 'limit is negative'), report(1, 1)]
  expect(progressOf(reports, 2n)).toEqual({ applied: 1, waiting: 1, failed: 1, total: 3 })
  expect(progressOf(reports)).toEqual({ applied: 2, waiting: 1, failed: 1, total: 4 })
})

test('counting', () => {
  expect(countBy(['b', 'a', 'b'], (x) => x)).toEqual([
    { name: 'b', count: 2 },
    { name: 'a', count: 1 },
  ])
})

test('phases', () => {
  const phase = (head: NonNullable<MessageInitShape<typeof ListResponseSchema>['documents']>[number]) =>
    phaseOf(create(ListResponseSchema, { documents: [head] }).documents[0]!)
  expect(phase({ latestVersion: 1n })).toBe('draft')
  expect(phase({ latestVersion: 2n, releasedVersion: 1n })).toBe('newer')
  expect(phase({ latestVersion: 2n, releasedVersion: 2n })).toBe('released')
  expect(phase({ latestVersion: 2n, releasedVersion: 1n, rollout: { version: 2n } })).toBe('staged')
  expect(phase({ latestVersion: 2n, deleted: true })).toBe('deleted')
})

test('cohorts as text, flags and words', () => {
  const text = { labels: ['zone=north', 'a=b=c'], addresses: ['10.1.0.0/16'], percent: '12.5' }
  const cohort = cohortOf(text)
  expect(cohort?.labels).toEqual({ zone: 'north', a: 'b=c' })
  expect(cohortWords(cohort)).toBe('zone=north, a=b=c, 10.1.0.0/16, 12.5%')
  expect(cohortFlags(text)).toEqual([
    '--label',
    'zone=north',
    '--label',
    'a=b=c',
    '--to',
    '10.1.0.0/16',
    '--percent',
    '12.5',
  ])
  for (const bad of [
    { labels: [], addresses: [], percent: '' },
    { labels: ['zone'], addresses: [], percent: '' },
    { labels: [], addresses: [], percent: '0' },
    { labels: [], addresses: [], percent: 'ten' },
  ])
    expect(cohortOf(bad)).toBeUndefined()
  expect(words('release', { namespace: 'default', kind: 'Config', name: 'a.yaml' }, '--version', '4')).toEqual([
    'release',
    'Config',
    'a.yaml',
    '-n',
    'default',
    '--version',
    '4',
  ])
})

test('texts', () => {
  expect(formatOfName('loan/limits.YML')).toBe('yaml')
  expect(formatOfName('motd')).toBe('text')
  expect(textOf(new Uint8Array([0xff, 0xfe]))).toBeUndefined()
})

test('a change is put onto a newer version', () => {
  const base = 'a: 1\nb: 2\nc: 3\nd: 4\n'
  expect(rebase(base, 'a: 1\nb: 9\nc: 3\nd: 4\n', 'a: 1\nb: 2\nc: 3\nd: 5\ne: 6\n', 'yours', 'version 2')).toEqual({
    text: 'a: 1\nb: 9\nc: 3\nd: 5\ne: 6\n',
    conflicts: 0,
  })
  expect(rebase(base, base, 'x\n', 'yours', 'theirs')).toEqual({ text: 'x\n', conflicts: 0 })
  // Both did the same.
  expect(rebase(base, 'a: 1\nc: 3\nd: 4\n', 'a: 1\nc: 3\nd: 4\n', 'yours', 'theirs')).toEqual({
    text: 'a: 1\nc: 3\nd: 4\n',
    conflicts: 0,
  })
})

test('where both changed the same lines, both stand there', () => {
  expect(rebase('a\nb\nc', 'a\nmine\nc', 'a\ntheirs\nc', 'yours', 'version 2')).toEqual({
    text: 'a\n<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> version 2\nc',
    conflicts: 1,
  })
})

test('a refusal as problems: places and fields are said once, and several are told one by one', () => {
  const said = {
    code: 'invalid_argument',
    message: '2 errors',
    others: [
      { code: '', message: 'line 10:1: rate: this key is not allowed', field: 'rate', line: 10, column: 1, others: [] },
      { code: '', message: 'not valid', line: 3, others: [] },
    ],
  }
  expect(problemsOf(said)).toMatchObject([
    { message: 'this key is not allowed', field: 'rate', line: 10, column: 1 },
    { message: 'not valid', line: 3 },
  ])
  const one = { code: 'invalid_argument', message: 'line 2: bad', line: 2, others: [] }
  expect(problemsOf(one)).toHaveLength(1)
})
