import { toJson } from '@bufbuild/protobuf'
import type { Timestamp } from '@bufbuild/protobuf/wkt'
import { access } from '@/api/clients/access'
import { AuditRecordSchema, type AuditRecord } from '@/api/gen/gantry/v1/access_pb'
import { dateOf } from '@/ui/format'
import type { Filter } from './model'

const pageSize = 1000
const mostPages = 20

/** All records of a filter, up to 20,000. */
export async function collect(
  filter: Filter,
  range: { since: Timestamp; until: Timestamp },
): Promise<{ records: AuditRecord[]; cut: boolean }> {
  const records: AuditRecord[] = []
  let pageToken = ''
  for (let i = 0; i < mostPages; i++) {
    const page = await access.listAudit({ ...filter, ...range, pageSize, pageToken })
    records.push(...page.records)
    pageToken = page.nextPageToken
    if (!pageToken) return { records, cut: false }
  }
  return { records, cut: true }
}

/** As `gantry audit -o json` has them. */
export const asJson = (records: readonly AuditRecord[]) =>
  JSON.stringify(
    records.map((record) => toJson(AuditRecordSchema, record)),
    null,
    2,
  )

export type Format = 'json' | 'csv'

const columns = ['id', 'at', 'actor', 'source', 'action', 'namespace', 'target', 'message', 'before', 'after'] as const

/** A cell that a spreadsheet takes as text: what it would compute gets an apostrophe in front, whoever wrote it. */
function cell(text: string): string {
  const inert = /^[\s\0]*[=+\-@\t\r\n|%]/.test(text) ? `'${text}` : text
  return `"${inert.replaceAll('"', '""')}"`
}

/** For spreadsheets: RFC 4180, with a mark of its encoding, without which Chinese text is not read right. */
export const asCsv = (records: readonly AuditRecord[]) =>
  '\ufeff' +
  [
    columns.map(cell),
    ...records.map((record) =>
      columns.map((name) => cell(name === 'at' ? (dateOf(record.at)?.toISOString() ?? '') : record[name])),
    ),
  ]
    .map((row) => row.join(',') + '\r\n')
    .join('')

const files = {
  json: { type: 'application/json', write: (records: readonly AuditRecord[]) => `${asJson(records)}\n` },
  csv: { type: 'text/csv;charset=utf-8', write: asCsv },
} as const

/** Hands records to the browser as a file. */
export function save(records: readonly AuditRecord[], format: Format, now: Date) {
  const { type, write } = files[format]
  const url = URL.createObjectURL(new Blob([write(records)], { type }))
  const link = document.createElement('a')
  link.href = url
  link.download = `gantry-audit-${now.toISOString().slice(0, 19).replaceAll(':', '')}.${format}`
  link.click()
  URL.revokeObjectURL(url)
}
