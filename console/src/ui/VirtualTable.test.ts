import { expect, test } from 'vitest'
import { sorted, type Column } from './VirtualTable'

interface Row {
  name: string
  n: number
}
const rows: Row[] = [
  { name: 'b', n: 1 },
  { name: 'a', n: 2 },
  { name: 'c', n: 1 },
]
const columns: Column<Row>[] = [
  { key: 'name', title: '', width: 1, render: () => null },
  { key: 'n', title: '', width: 1, render: () => null, compare: (a, b) => a.n - b.n },
]
const names = (list: readonly Row[]) => list.map((r) => r.name).join('')

test('sorting is stable in both directions and leaves what cannot be sorted', () => {
  expect(names(sorted(rows, columns, { key: 'n', descending: false }))).toBe('bca')
  expect(names(sorted(rows, columns, { key: 'n', descending: true }))).toBe('abc')
  expect(names(sorted(rows, columns, { key: 'name', descending: true }))).toBe('bac')
  expect(names(sorted(rows, columns, undefined))).toBe('bac')
})
