import { create } from '@bufbuild/protobuf'
import { CohortSchema, type Cohort, type Document } from '@/api/gen/gantry/v1/release_pb'

/** Names one document. */
export interface Reference {
  namespace: string
  kind: string
  name: string
}

export const nameOf = (ref: Reference) => `${ref.kind}/${ref.name}`

/** What a person sets to choose instances, as it stands in the form and in the address. */
export interface CohortText {
  labels: string[]
  addresses: string[]
  percent: string
}

export const noCohort: CohortText = { labels: [], addresses: [], percent: '' }

export function cohortText(cohort: Cohort | undefined): CohortText {
  if (!cohort) return noCohort
  return {
    labels: Object.entries(cohort.labels).map(([k, v]) => `${k}=${v}`),
    addresses: [...cohort.addresses],
    percent: cohort.percent === undefined ? '' : String(cohort.percent),
  }
}

export const isEmptyCohort = (text: CohortText) =>
  text.labels.length === 0 && text.addresses.length === 0 && text.percent.trim() === ''

/** The cohort, or undefined when the text says none or makes no sense; whether addresses are some is for the server to say. */
export function cohortOf(text: CohortText): Cohort | undefined {
  if (isEmptyCohort(text)) return undefined
  const labels: Record<string, string> = {}
  for (const label of text.labels) {
    const at = label.indexOf('=')
    if (at < 1) return undefined
    labels[label.slice(0, at).trim()] = label.slice(at + 1).trim()
  }
  const percent = text.percent.trim() === '' ? undefined : Number(text.percent)
  if (percent !== undefined && !(percent > 0 && percent <= 100)) return undefined
  return create(CohortSchema, { labels, addresses: text.addresses, percent })
}

/** As a person reads it: "10%", "zone=north, 10.1.0.0/16". */
export function cohortWords(cohort: Cohort | undefined): string {
  if (!cohort) return ''
  const text = cohortText(cohort)
  return [...text.labels, ...text.addresses, ...(text.percent ? [`${text.percent}%`] : [])].join(', ')
}

/** The flags of `gantry release`, `preview` and `apply`. */
export const cohortFlags = (text: CohortText): string[] => [
  ...text.labels.flatMap((label) => ['--label', label]),
  ...text.addresses.flatMap((address) => ['--to', address]),
  ...(text.percent.trim() ? ['--percent', text.percent.trim()] : []),
]

/** As JSON for the API. */
export function cohortJson(text: CohortText): object | undefined {
  const cohort = cohortOf(text)
  if (!cohort) return undefined
  return {
    ...(text.labels.length > 0 ? { labels: cohort.labels } : {}),
    ...(text.addresses.length > 0 ? { addresses: cohort.addresses } : {}),
    ...(cohort.percent !== undefined ? { percent: cohort.percent } : {}),
  }
}

/** Words of a command about one document, behind "gantry". */
export const words = (verb: string, ref: Reference, ...flags: string[]): string[] => [
  verb,
  ref.kind,
  ref.name,
  '-n',
  ref.namespace,
  ...flags,
]

export type Phase = 'released' | 'draft' | 'newer' | 'staged' | 'deleted'

/** The one word for a document. newer: there are versions above the released one. */
export function phaseOf(document: Document): Phase {
  if (document.deleted) return 'deleted'
  if (document.rollout) return 'staged'
  if (document.releasedVersion === 0n) return 'draft'
  return document.latestVersion > document.releasedVersion ? 'newer' : 'released'
}

/** What a document's format is when its name says it, as the server takes it. */
export function formatOfName(name: string): string {
  const extension = /\.([a-z]+)$/i.exec(name)?.[1]?.toLowerCase() ?? ''
  return (
    { yaml: 'yaml', yml: 'yaml', json: 'json', toml: 'toml', properties: 'properties', xml: 'xml' }[extension] ?? 'text'
  )
}

/** Text of a content; undefined when it is no UTF-8. */
export function textOf(content: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch {
    return undefined
  }
}

export const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)
