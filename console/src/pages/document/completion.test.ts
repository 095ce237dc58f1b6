import { expect, test } from 'vitest'
import { fieldWords, schemasAt, valueWords, yamlPlace, type Schema } from './completion'

const schema: Schema = {
  type: 'object',
  required: ['max-amount'],
  properties: {
    'max-amount': { type: 'integer', minimum: 0, description: 'In yuan.' },
    mode: { enum: ['strict', 'off'] },
    rates: { type: 'object', properties: { a: { type: 'number' }, b: { type: 'number' } } },
    banks: { type: 'array', items: { $ref: '#/$defs/bank' } },
    open: { type: 'boolean', default: true },
  },
  $defs: {
    bank: { allOf: [{ properties: { name: { type: 'string' }, limit: { type: 'integer' } } }] },
    self: { $ref: '#/$defs/self' },
  },
}

const place = (text: string) => {
  const lines = text.split('\n')
  const row = lines.findIndex((line) => line.includes('@'))
  const column = lines[row]!.indexOf('@')
  lines[row] = lines[row]!.replace('@', '')
  return yamlPlace(lines, row, column)
}

test('what is required comes first, and what is there is left out', () => {
  const words = fieldWords([schema], [], new Set(['mode']), 'yaml')
  expect(words.map((word) => word.label)).toEqual(['max-amount', 'banks', 'open', 'rates'])
  expect(words[0]).toMatchObject({ apply: 'max-amount: ', detail: 'integer *', info: 'In yuan.\nminimum 0' })
  expect(words[1]!.apply).toBe('banks:')
  expect(fieldWords([schema], [], new Set(), 'json')[0]!.apply).toBe('"max-amount": ')
})

test('references, lists and combinations are followed, and circles end', () => {
  expect(fieldWords([schema], ['banks', 3], new Set(), 'yaml').map((word) => word.label)).toEqual(['limit', 'name'])
  expect(schemasAt([{ $ref: '#/$defs/self', $defs: schema['$defs'] }], []).length).toBeLessThan(20)
})

test('values by enum, boolean and default; words that YAML reads otherwise are quoted', () => {
  expect(valueWords([schema], ['mode'], 'yaml').map((word) => word.apply)).toEqual(['strict', '"off"'])
  expect(valueWords([schema], ['open'], 'yaml').map((word) => word.label)).toEqual(['true', 'false'])
  expect(valueWords([schema], ['mode'], 'json').map((word) => word.apply)).toEqual(['"strict"', '"off"'])
})

test('places of a YAML text', () => {
  expect(place('a: 1\nma@')).toMatchObject({ path: [], at: 'field', from: 0, there: new Set(['a']) })
  expect(place('rates:\n  a: 1\n  @\nmode: x')).toMatchObject({ path: ['rates'], at: 'field', there: new Set(['a']) })
  expect(place('mode: st@')).toMatchObject({ path: ['mode'], at: 'value', from: 6 })
  expect(place('mode: @')).toMatchObject({ path: ['mode'], at: 'value', from: 6 })
  expect(place('rates:\n  a: 1\nmo@')).toMatchObject({ path: [], there: new Set(['rates']) })
  expect(place('x:\n  y:\n    z: 1\n  @')).toMatchObject({ path: ['x'] })
})

test('places inside of lists', () => {
  expect(place('banks:\n  - name: a\n    li@')).toMatchObject({ path: ['banks', 0], there: new Set(['name']) })
  expect(place('banks:\n  - name: a\n  - na@')).toMatchObject({ path: ['banks', 1], there: new Set() })
  expect(place('banks:\n- name: a\n- name: b\n  @')).toMatchObject({ path: ['banks', 1], there: new Set(['name']) })
})

test('nothing is offered in comments and blocks of text', () => {
  expect(place('# a@')).toBeUndefined()
  expect(place('text: |\n  a@')).toBeUndefined()
})
