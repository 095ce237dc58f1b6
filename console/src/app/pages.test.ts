import { expect, test } from 'vitest'
import { pageAt } from './pages'
import { paths } from './paths'

test('every path that is linked to leads to a page of its own', () => {
  const linked = [
    paths.overview('n'),
    paths.services('n'),
    paths.service('n', 'a/b c', 'g'),
    paths.instance('n', 'a', 'i:80/x', 'g'),
    paths.map('n'),
    paths.documents('n'),
    paths.document('n', 'config', 'app.yaml'),
    paths.traces('n'),
    paths.trace('n', 'abc'),
    paths.compare('n', 'a', 'b'),
    paths.errors('n'),
    paths.events('n'),
    paths.alerts('n'),
    paths.alert('n', 'rule', 'slow'),
    paths.audit('n'),
    paths.users('n'),
    paths.cluster('n'),
  ]
  const found = linked.map((path) => pageAt(path)?.path)
  expect(found).not.toContain(undefined)
  expect(new Set(found).size).toBe(Object.keys(paths).length)
})

test('what is no page has none', () => {
  for (const path of ['/n/nothing', '/n', '/n/services/a/instances', '/n/traces/a/b', '/'])
    expect(pageAt(path), path).toBeUndefined()
})

test('comparing is no trace of the name compare', () => {
  expect(pageAt(paths.compare('n', 'a'))?.path).toBe('traces/compare')
})
