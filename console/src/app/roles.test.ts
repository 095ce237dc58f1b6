import { expect, test } from 'vitest'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { granted } from './roles'

test.each([
  [[{ namespace: 'default', role: Role.ADMIN }], Role.VIEWER, 'default', true],
  [[{ namespace: 'default', role: Role.ADMIN }], Role.VIEWER, 'staging', false],
  [[{ namespace: '*', role: Role.VIEWER }], Role.RELEASER, 'default', false],
  [[{ namespace: '*', role: Role.SERVICE }], Role.VIEWER, 'default', false],
  [[{ namespace: '*', role: Role.ADMIN }], Role.SERVICE, 'default', false],
  [[], Role.VIEWER, 'default', false],
])('%j %s in %s', (grants, role, namespace, wanted) => expect(granted(grants, role, namespace)).toBe(wanted))
