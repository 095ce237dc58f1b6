import { expect, test } from 'vitest'
import { matches, traceId } from './matching'

test.each([
  ['4BF92F3577B34DA6A3CE929D0E0E4736', '4bf92f3577b34da6a3ce929d0e0e4736'],
  [' a3ce929d0e0e4736 ', '0000000000000000a3ce929d0e0e4736'],
  ['4bf92f35-77b3-4da6-a3ce-929d0e0e4736', '4bf92f3577b34da6a3ce929d0e0e4736'],
  ['loan', undefined],
  ['a3ce', undefined],
])('traceId %s', (typed, wanted) => expect(traceId(typed)).toBe(wanted))

test('letters match in their order', () => {
  expect(matches('svc', 'Services')).toBe(true)
  expect(matches('csv', 'Services')).toBe(false)
  expect(matches('', 'Services')).toBe(true)
  expect(matches('文', '文档')).toBe(true)
})
