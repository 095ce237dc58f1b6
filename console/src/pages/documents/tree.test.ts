import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { DocumentSchema } from '@/api/gen/gantry/v1/release_pb'
import { matchesFilter, rowsOf, type Row } from './tree'
import type { Listed } from './useDocuments'

const listed = (kind: string, name: string): Listed => ({
  document: create(DocumentSchema, { ref: { kind, name }, latestVersion: 1n, releasedVersion: 1n }),
  applied: undefined,
})
const words = (rows: readonly Row[]) =>
  rows.map(
    (row) =>
      ' '.repeat(row.depth) + (row.type === 'group' ? `${row.open ? '-' : '+'}${row.label} ${row.count}` : row.label),
  )

const documents = [
  listed('Config', 'loan.yaml'),
  listed('Config', 'loan/a/b/limits.yaml'),
  listed('Config', 'loan/a/b/rates.yaml'),
  listed('KeyValue', 'locks/'),
  listed('Schema', 'loan'),
]

test('kinds, folders and documents; folders with one folder in them are one row', () => {
  expect(words(rowsOf(documents, new Set()))).toEqual([
    '-Config 3',
    ' -loan/a/b/ 2',
    '  limits.yaml',
    '  rates.yaml',
    ' loan.yaml',
    '-KeyValue 1',
    ' -locks/ 1',
    '  locks/',
    '-Schema 1',
    ' loan',
  ])
})

test('what is closed keeps its count', () => {
  expect(words(rowsOf(documents, new Set(['Config', 'KeyValue/locks'])))).toEqual([
    '+Config 3',
    '-KeyValue 1',
    ' +locks/ 1',
    '-Schema 1',
    ' loan',
  ])
})

test('filters', () => {
  const filter = { search: '', kind: '', phase: '' }
  const count = (some: Partial<typeof filter>) =>
    documents.filter(({ document }) => matchesFilter(document, { ...filter, ...some })).length
  expect(count({})).toBe(5)
  expect(count({ search: 'LOAN' })).toBe(4)
  expect(count({ kind: 'Schema' })).toBe(1)
  expect(count({ phase: 'staged' })).toBe(0)
})
