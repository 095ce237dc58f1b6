import { expect, test } from 'vitest'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { grantsOf, sameGrants, strongestFirst } from './grants'

const row = (namespace: string, role = Role.VIEWER) => ({ namespace, role })

test('empty rows and repetitions are left out', () =>
  expect(grantsOf([row(' prod '), row(''), row('prod'), row('prod', Role.ADMIN)])).toEqual([
    row('prod'),
    row('prod', Role.ADMIN),
  ]))

test('the order of grants means nothing', () => {
  expect(sameGrants([row('a'), row('b')], [row('b'), row('a')])).toBe(true)
  expect(sameGrants([row('a')], [row('a', Role.ADMIN)])).toBe(false)
  expect(sameGrants([row('a')], [])).toBe(false)
})

test('the strongest role is shown first', () => {
  const grants = [
    { namespace: 'a', role: Role.SERVICE },
    { namespace: 'b', role: Role.VIEWER },
    { namespace: 'a', role: Role.ADMIN },
    { namespace: '*', role: Role.VIEWER },
  ]
  expect(strongestFirst(grants).map(({ namespace, role }) => `${role} ${namespace}`)).toEqual([
    `${Role.ADMIN} a`,
    `${Role.VIEWER} *`,
    `${Role.VIEWER} b`,
    `${Role.SERVICE} a`,
  ])
})
