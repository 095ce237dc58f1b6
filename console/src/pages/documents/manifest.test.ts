import { expect, test } from 'vitest'
import { bytesOf, textOf } from '../document/reference'
import { formatManifest, ManifestError, parseManifests } from './manifest'

const ref = (kind: string, name = 'loan.yaml') => ({ namespace: 'default', kind, name })
const version = (text: string | Uint8Array<ArrayBuffer>, format = 'yaml', sensitive = false) => ({
  content: typeof text === 'string' ? bytesOf(text) : text,
  format,
  sensitive,
})

test('a configuration is written as the command writes it', () => {
  expect(formatManifest(ref('Config'), version('# limits\nmax: 5\n\nmin: 1\n'))).toBe(
    'kind: Config\nmetadata:\n  namespace: default\n  name: loan.yaml\nspec:\n  format: yaml\n  content: |\n    # limits\n    max: 5\n\n    min: 1\n',
  )
})

test.each([
  'a: 1\n',
  'a: 1',
  'a: 1\n\n\n',
  '  indented first\nb\n',
  '\n\nlines first\n',
  '',
  '   ',
  'tab\there\n',
  'bell \u0007 and \u2028\n',
  'quote " and \\ and # : - ---\n---\n',
  '中文：一\n',
])('what is written reads back: %j', (text) => {
  for (const kind of ['Config', 'Schema'])
    for (const sensitive of [false, true]) {
      const [read] = parseManifests('x.yaml', formatManifest(ref(kind), version(text, 'yaml', sensitive)), 'default')
      expect(textOf(read!.content)).toBe(text)
      expect(read).toMatchObject({ format: 'yaml', sensitive, ref: ref(kind) })
    }
})

test('bytes that are no text', () => {
  const [read] = parseManifests(
    'x',
    formatManifest(ref('KeyValue'), version(new Uint8Array([0, 255, 7]), 'text')),
    'default',
  )
  expect([...read!.content]).toEqual([0, 255, 7])
})

test('several in a file, with comments, quotes, and a spec whose text is kept', () => {
  const file = `# two
kind: Schema
metadata:
  name: "loan-limits" # quoted
spec:
  # applies to all
  appliesTo: ["loan*.yaml"]
  schema:
    type: object
---
kind: Config
metadata: # here
  namespace: default
  name: a.json
spec:
  sensitive: true
  content: |-
    {"a": 1}
...
`
  const [schema, config] = parseManifests('f.yaml', file, 'default')
  expect(schema).toMatchObject({ ref: ref('Schema', 'loan-limits'), line: 2 })
  expect(textOf(schema!.content)).toBe('# applies to all\nappliesTo: ["loan*.yaml"]\nschema:\n  type: object\n')
  expect(config).toMatchObject({ ref: ref('Config', 'a.json'), format: 'json', sensitive: true, line: 11 })
  expect(textOf(config!.content)).toBe('{"a": 1}')
})

test('JSON', () => {
  const text = JSON.stringify([
    { kind: 'Config', metadata: { name: 'a' }, spec: { content: 'x' } },
    { kind: 'Schema', metadata: { name: 'b' }, spec: { appliesTo: ['a'] } },
  ])
  const [a, b] = parseManifests('x.json', text, 'staging')
  expect(a).toMatchObject({ ref: { namespace: 'staging', kind: 'Config', name: 'a' }, format: 'text' })
  expect(JSON.parse(textOf(b!.content)!)).toEqual({ appliesTo: ['a'] })
})

const refused = (text: string) => {
  try {
    parseManifests('f', text, 'default')
  } catch (error) {
    if (error instanceof ManifestError) return [error.line, error.why, error.what]
    throw error
  }
  return undefined
}

test('what is not understood is refused, with its line', () => {
  expect(refused('kind: Config\nmetadata:\n  name: a\n  labels: x\nspec:\n  content: x')).toEqual([
    4,
    'field',
    'metadata.labels',
  ])
  expect(refused('kind: Config\nmetadata: {name: a}\nspec:\n  content: x')).toEqual([2, 'style', 'metadata'])
  expect(refused('kind: Config\nmetadata:\n  name: a\n')).toEqual([1, 'missing', 'spec'])
  expect(refused('metadata:\n  name: a\n')).toEqual([1, 'missing', 'kind'])
  expect(refused('\n\nkind: Config\nmetadata:\n  namespace: other\n  name: a\nspec:\n  content: x')).toEqual([
    5,
    'namespace',
    'other',
  ])
  expect(refused('kind: Config\nmetadata:\n  name: a\nspec:\n  content: 5')).toEqual([5, 'value', 'content'])
  expect(refused('{')?.slice(0, 2)).toEqual([1, 'json'])
})
