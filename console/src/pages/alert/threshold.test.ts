import { expect, test } from 'vitest'
import { compared } from './threshold'

test.each([
  ['up == 0', 'up', '==', 0],
  ['rate(x[5m]) > 0.05', 'rate(x[5m])', '>', 0.05],
  ['sum(a)\n  / sum(b) >= 1e-3\n', 'sum(a)\n  / sum(b)', '>=', 0.001],
  ['x{a!="b > 3", c=~"<"} < -2.5', 'x{a!="b > 3", c=~"<"}', '<', -2.5],
  ['(sum(x > 3)) > bool (7) # why > 1', '(sum(x > 3))', '>', 7],
  ['a_and_b > 1', 'a_and_b', '>', 1],
])('%s', (text, expression, operator, threshold) => expect(compared(text)).toEqual({ expression, operator, threshold }))

test.each(['absent(up)', 'a > b', 'a > 1 and b > 2', 'a unless b', '> 3', 'a > 1 > 2', 'x{a="open > 3', ''])(
  '%s is not a comparison with a number',
  (text) => expect(compared(text)).toBeUndefined(),
)
