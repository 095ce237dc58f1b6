import { toJson } from '@bufbuild/protobuf'
import type { Timestamp } from '@bufbuild/protobuf/wkt'
import { access } from '@/api/clients'
import { AuditRecordSchema, type AuditRecord } from '@/api/gen/gantry/v1/access_pb'
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

/** Hands records to the browser as a file. */
export function save(records: readonly AuditRecord[], now: Date) {
  const url = URL.createObjectURL(new Blob([asJson(records), '\n'], { type: 'application/json' }))
  const link = document.createElement('a')
  link.href = url
  link.download = `gantry-audit-${now.toISOString().slice(0, 19).replaceAll(':', '')}.json`
  link.click()
  URL.revokeObjectURL(url)
}
