import { expect, test } from 'vitest'
import { commandText, curlText, quote } from './commands'

test.each([
  ['loan', 'loan'],
  ['a b', "'a b'"],
  ["it's", `'it'\\''s'`],
  ['$(rm -rf /)', "'$(rm -rf /)'"],
  ['', "''"],
])('quote %s', (word, wanted) => expect(quote(word)).toBe(wanted))

test('a command leaves out what is empty', () => {
  expect(commandText(['services', '', '-n', 'my ns'])).toBe("gantry services -n 'my ns'")
})

test('curl takes the token from the environment', () => {
  const text = curlText(
    { method: 'gantry.v1.InstanceService/ListServices', message: { namespace: "it's" } },
    'http://h:1',
  )
  expect(text).toContain('$GANTRY_TOKEN')
  expect(text).toContain(`-d '{"namespace":"it'\\''s"}'`)
  expect(text).toContain('http://h:1/gantry.v1.InstanceService/ListServices')
  expect(
    curlText({ path: '/ns/default/prometheus/api/v1/query', query: { query: 'up{a="b"}' } }, 'http://h:1', true),
  ).toBe(`curl -sS -G \\\n  --data-urlencode 'query=up{a="b"}' \\\n  http://h:1/ns/default/prometheus/api/v1/query`)
})
