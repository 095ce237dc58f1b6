import { expect, test } from 'vitest'
import { formatMetadata, parseMetadata } from './metadata'

test('metadata is read as it is written', () => {
  const metadata = { team: 'credit', url: 'https://x/?a=b', empty: '' }
  expect(parseMetadata(formatMetadata(metadata))).toEqual({ metadata })
  expect(parseMetadata('\n a = b \n')).toEqual({ metadata: { a: 'b' } })
})

test('a line that is no pair is named', () => {
  expect(parseMetadata('a=b\nwhat')).toEqual({ line: 2 })
  expect(parseMetadata('=b')).toEqual({ line: 1 })
})
