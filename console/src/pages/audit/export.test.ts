import { create } from '@bufbuild/protobuf'
import { timestampFromDate } from '@bufbuild/protobuf/wkt'
import { expect, test } from 'vitest'
import { AuditRecordSchema } from '@/api/gen/gantry/v1/access_pb'
import { asCsv } from './export'

const record = (message: string) =>
  create(AuditRecordSchema, {
    id: '1',
    at: timestampFromDate(new Date('2026-11-26T10:00:00.5Z')),
    actor: 'user:ann',
    action: 'document.release',
    message,
    after: '{"version":"2"}',
  })

test('a row a record, quoted, in UTC', () => {
  expect(asCsv([record('a, "b"\nc')])).toBe(
    '\ufeff"id","at","actor","source","action","namespace","target","message","before","after"\r\n' +
      '"1","2026-11-26T10:00:00.500Z","user:ann","","document.release","","","a, ""b""\nc","","{""version"":""2""}"\r\n',
  )
})

test.each([
  '=HYPERLINK("http://evil")',
  '+1+cmd|/C calc',
  '-2+3',
  '@SUM(A1)',
  '\t=1+1',
  '\r=1+1',
  ' =1+1',
  '\n=1+1',
  '|calc',
  '%0A=1',
])('a spreadsheet computes nothing of %j', (message) => {
  expect(asCsv([record(message)])).toContain(`,"'${message.replaceAll('"', '""')}",`)
})

test('other text stays as it is', () => {
  for (const message of ['loans = 3', 'a-b', '中文', "it's"])
    expect(asCsv([record(message)])).toContain(`,"${message}",`)
})
