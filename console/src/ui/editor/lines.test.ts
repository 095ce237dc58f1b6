import { expect, test } from 'vitest'
import { lineChanges, textChanges } from './lines'

const line = (i: number, value: number) => `key-${i}: "the value of line ${i}, version ${value}"`
const text = (value: number) => Array.from({ length: 18_000 }, (_, i) => line(i, i % 100 === 0 ? value : 0)).join('\n')

/** Puts changes onto a: whatever they are, b must come out. */
function put(a: string, b: string) {
  let out = ''
  let at = 0
  for (const change of textChanges(a, b)) {
    out += a.slice(at, change.fromA) + b.slice(change.fromB, change.toB)
    at = change.toA
  }
  return out + a.slice(at)
}

test('of a large text only what changed is told as changed', () => {
  const [a, b] = [text(1), text(2)]
  const changes = textChanges(a, b)
  expect(changes).toHaveLength(180)
  expect(changes.every((change) => change.toA - change.fromA < 10)).toBe(true)
  expect(put(a, b)).toBe(b)
})

test.each([
  ['lines that came', text(1), `new\n${text(1)}\nlast`],
  ['lines that went', `first\n${text(1)}\nlast`, text(1)],
  ['a break at the end', text(1), `${text(1)}\n`],
  ['all of it', text(1), 'x: 1\n'],
  ['nothing before', '', text(1)],
])('the changes lead from one to the other: %s', (_, a, b) => {
  expect(put(a, b)).toBe(b)
})

test('too many different lines cannot be told', () => {
  expect(
    lineChanges(
      Array.from({ length: 60_000 }, (_, i) => String(i)),
      ['0'],
    ),
  ).toBeUndefined()
  expect(lineChanges(['a', 'b'], ['a', 'c'])).toEqual([{ fromA: 1, toA: 2, fromB: 1, toB: 2 }])
})
