import { expect, test } from 'vitest'
import { expressions, measures } from './runtime'

test('a name cannot leave its quotes in any expression', () => {
  const asked = expressions('loan', 'a"} or vector(1) #', '60s')
  for (const measure of measures) {
    expect(asked[measure]).toContain('instance="a\\"} or vector(1) #"')
    expect(asked[measure]).not.toContain('instance="a"}')
  }
})
