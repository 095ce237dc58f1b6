import { expect, test } from 'vitest'
import { readFields } from './fields'
import { silenceContent, silenceName, silenceState, sortSilences, type Silence } from './silences'

const at = (text: string) => new Date(`2026-11-26T${text}:00Z`)

test('what is written is read again', () => {
  const draft = {
    matchers: ['service="loan"', `note="it's"`, 'path=~"/v\\\\d"'],
    from: at('10:00'),
    until: at('11:00'),
    comment: 'moves: the database # really, it\'s "fine"\nsecond line',
  }
  expect(readFields(silenceContent(draft), 'yaml')).toEqual({
    matchers: draft.matchers,
    startsAt: '2026-11-26T10:00:00Z',
    endsAt: '2026-11-26T11:00:00Z',
    comment: draft.comment,
  })
})

test('as the command line and people write it', () => {
  const content = `# why
matchers: ['service="loan"', severity="info"]
startsAt: 2026-12-01T22:00:00+08:00  # evening
comment: The database moves.
`
  expect(readFields(content, 'yaml')).toEqual({
    matchers: ['service="loan"', 'severity="info"'],
    startsAt: '2026-12-01T22:00:00+08:00',
    comment: 'The database moves.',
  })
  expect(readFields('{"order": 3, "receivers": ["a"]}', 'json')).toEqual({ order: '3', receivers: ['a'] })
})

test.each(['comment: |\n  two\n', 'a: {b: c}\n', 'a:\n  b: c\n', "a: 'open\n", 'nonsense\n'])(
  'what is more than flat fields is left to the document: %j',
  (content) => expect(readFields(content, 'yaml')).toBeUndefined(),
)

test('states and order', () => {
  const make = (name: string, from: string, until: string): Silence => ({
    name,
    version: 1n,
    author: '',
    matchers: [],
    comment: '',
    from: at(from),
    until: at(until),
  })
  const now = at('12:00')
  expect(silenceState(make('x', '11:00', '12:00'), now)).toBe('ended')
  const list = [
    make('old', '01:00', '02:00'),
    make('older', '00:00', '01:00'),
    make('later', '13:00', '14:00'),
    make('long', '11:00', '15:00'),
    make('short', '11:00', '12:30'),
  ]
  expect(sortSilences(list, now).map(({ silence, state }) => `${silence.name} ${state}`)).toEqual([
    'short active',
    'long active',
    'later future',
    'old ended',
    'older ended',
  ])
})

test('names are names of documents', () => {
  expect(silenceName('error-rate', at('10:15'))).toBe('error-rate-20261126-101500')
  expect(silenceName('坏 / Rate_1 ', at('10:15'))).toBe('rate-1-20261126-101500')
  expect(silenceName('', at('10:15'))).toBe('silence-20261126-101500')
})

test('a silence without a beginning keeps none when it is written again', () => {
  const draft = { matchers: ['service="loan"'], until: at('12:00'), comment: "it's known" }
  const content = silenceContent(draft)
  expect(content).not.toContain('startsAt')
  expect(content).toContain("comment: 'it''s known'")
})
