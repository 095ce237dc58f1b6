import { expect, test } from 'vitest'
import { canBeCause } from './changes'

test('drafts and what is written about alerts cause nothing', () => {
  expect(canBeCause({ kind: 'release.released', target: 'Config/loan.yaml' })).toBe(true)
  expect(canBeCause({ kind: 'release.rolled_back', target: 'Config/loan.yaml' })).toBe(true)
  expect(canBeCause({ kind: 'release.published', target: 'Config/loan.yaml' })).toBe(false)
  for (const kind of ['Alert', 'Objective', 'NotificationRoute', 'Receiver', 'Silence', 'Inhibition'])
    expect(canBeCause({ kind: 'release.released', target: `${kind}/loans` })).toBe(false)
  expect(canBeCause({ kind: 'instance.registered', target: '' })).toBe(true)
})
