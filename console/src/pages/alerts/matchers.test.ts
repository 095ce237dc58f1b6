import { expect, test } from 'vitest'
import { exactly, meetsAll, parseMatcher } from './matchers'

test.each([
  ['service="loan"', { name: 'service', operator: '=', value: 'loan' }],
  [' severity =~ "critical|warning" ', { name: 'severity', operator: '=~', value: 'critical|warning' }],
  ['path!~"/v\\d+"', { name: 'path', operator: '!~', value: '/v\\d+' }],
  ['note!="say \\"hi\\""', { name: 'note', operator: '!=', value: 'say "hi"' }],
])('%s is a condition', (text, matcher) => expect(parseMatcher(text)).toEqual(matcher))

test.each(['', 'service', 'service=loan', 'service="loan', '="loan"', 'service=="loan"'])('%j is none', (text) =>
  expect(parseMatcher(text)).toBeUndefined(),
)

test('what is written for a value is read as that value', () => {
  for (const value of ['loan', 'a "b"', 'a\\b', '', '借款'])
    expect(parseMatcher(exactly('x', value))).toEqual({ name: 'x', operator: '=', value })
})

test.each([
  [['service="loan"'], true],
  [['service="risk"'], false],
  [['service=~"lo.*"', 'severity!="info"'], true],
  [['service=~"lo"'], false],
  [['missing=""'], true],
  [['missing!~".+"'], true],
  [['service=~"(?P<x>lo.*)"'], undefined],
  [['service=~"(?P<x>lo.*)"', 'severity="info"'], false],
  [['nonsense'], undefined],
])('%j', (matchers, met) => expect(meetsAll(matchers, { service: 'loan', severity: 'critical' })).toBe(met))
