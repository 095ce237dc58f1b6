import { expect, test } from 'vitest'
import { pretty, readFilter, targetPath } from './model'

const path = (action: string, namespace: string, target: string) => targetPath({ action, namespace, target }, 'here')

test.each([
  ['document.release', 'prod', 'Config/loan.yaml', '/prod/documents/Config/loan.yaml'],
  ['document.publish', 'prod', 'Config/a/b.yaml', '/prod/documents/Config/a%2Fb.yaml'],
  ['document.transaction', 'prod', 'KeyValue', ''],
  ['instance.override', 'prod', 'default/loan/loan-1', '/prod/services/loan/instances/loan-1'],
  ['instance.drain', 'prod', 'blue/loan/loan-1', '/prod/services/loan/instances/loan-1?group=blue'],
  ['instance.drain', 'prod', '', ''],
  ['service.configure', 'prod', 'default/loan', '/prod/services/loan'],
  ['user.create', '*', 'ann', '/here/users?tab=users'],
  ['token.revoke', 'prod', '3f2a', '/here/users?tab=tokens'],
  ['cluster.remove_member', '*', 'n2', '/here/cluster'],
  ['unheard.of', 'prod', 'x', ''],
])('%s in %s of %s', (action, namespace, target, expected) => expect(path(action, namespace, target)).toBe(expected))

test('where: here, everywhere, or the cluster', () => {
  const of = (query: string) => readFilter(new URLSearchParams(query), 'prod').namespace
  expect([of(''), of('where=all'), of('where=cluster'), of('where=nonsense')]).toEqual(['prod', '', '*', 'prod'])
})

test('snapshots are indented, and shown as they are when they are no JSON', () => {
  expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}')
  expect(pretty('{"a":')).toBe('{"a":')
  expect(pretty('')).toBe('')
})
