import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import type { AppliedReport, Document } from '@/api/gen/gantry/v1/release_pb'
import { releases } from '@/api/clients/releases'
import { key } from '@/api/keys'
import { readAll } from '@/api/paged'

// Which documents concern a service is not written down anywhere: its instances say what they have applied. So documents are asked who runs them, those first whose
// names suggest it; and one that is named like the service concerns it although nobody has reported, as with clients that do not report.

/** Documents that are asked. A namespace with more is not searched to its end, which is said. */
const most = 64
const atOnce = 8

export interface Found {
  documents: Document[]
  /** Documents there are, and how many of them were asked. */
  all: number
  asked: number
}

/** Whether a document's name begins with the service's: loan, loan.yaml, loan/limits.yaml. */
export function namedLike(document: string, service: string): boolean {
  const rest = document.slice(service.length)
  return document.startsWith(service) && (rest === '' || /^[./_-]/.test(rest))
}

/** Those first that are the likeliest to concern the service. */
export function likeliest(documents: readonly Document[], service: string): Document[] {
  const rank = (document: Document) => {
    const name = document.ref?.name ?? ''
    return namedLike(name, service) ? 0 : name.includes(service) ? 1 : 2
  }
  return [...documents].sort((a, b) => rank(a) - rank(b) || (a.ref?.name ?? '').localeCompare(b.ref?.name ?? ''))
}

async function pooled<Item, T>(items: readonly Item[], run: (item: Item) => Promise<T>): Promise<T[]> {
  const answers: T[] = []
  for (let i = 0; i < items.length; i += atOnce)
    answers.push(...(await Promise.all(items.slice(i, i + atOnce).map(run))))
  return answers
}

const isOf = (report: AppliedReport, service: string, group: string) =>
  report.subject?.service?.service === service && (report.subject.service.group || 'default') === group

/** The documents that concern a service. */
export function useDocumentsOf(
  namespace: string,
  service: string,
  group: string,
  enabled = true,
): UseQueryResult<Found> {
  return useQuery({
    queryKey: key('documents', namespace, 'of', group, service),
    enabled,
    queryFn: async ({ signal }) => {
      const all = await readAll(
        (pageToken) => releases.list({ namespace, kind: 'Config', pageSize: 1000, pageToken }, { signal }),
        (page) => page.documents,
      )
      const asked = likeliest(all, service).slice(0, most)
      const concerned = await pooled(asked, async (document) => {
        if (namedLike(document.ref?.name ?? '', service)) return true
        const { reports } = await releases.applied({ ref: document.ref }, { signal })
        return reports.some((report) => isOf(report, service, group))
      })
      return { documents: asked.filter((_, i) => concerned[i]), all: all.length, asked: asked.length }
    },
  })
}

export interface Loaded {
  document: Document
  /** Of instances of this service alone. */
  reports: AppliedReport[]
  missingNodes: string[]
}

/** What instances of a service have loaded of documents; asked again with every tick, so that a rollout is seen to go on. */
export function useLoaded(
  namespace: string,
  service: string,
  group: string,
  found: Found | undefined,
): UseQueryResult<Loaded[]> {
  return useQuery({
    queryKey: key(
      'figures',
      namespace,
      'loaded',
      group,
      service,
      (found?.documents ?? []).map((d) => `${d.ref?.kind}/${d.ref?.name}@${d.revision}`),
    ),
    enabled: found !== undefined,
    placeholderData: (before) => before,
    queryFn: ({ signal }) =>
      pooled(found?.documents ?? [], async (document): Promise<Loaded> => {
        const answer = await releases.applied({ ref: document.ref }, { signal })
        return {
          document,
          reports: answer.reports.filter((report) => isOf(report, service, group)),
          missingNodes: answer.missingNodes,
        }
      }),
  })
}

export type LoadedState = 'failed' | 'behind' | 'right'

/** Whether an instance runs what it should. */
export const stateOfReport = (report: Pick<AppliedReport, 'error' | 'version' | 'wantedVersion'>): LoadedState =>
  report.error ? 'failed' : report.version !== report.wantedVersion ? 'behind' : 'right'

/** How many instances run which version, the most first. */
export function versionsOf(
  reports: readonly Pick<AppliedReport, 'error' | 'version'>[],
): [version: bigint, count: number][] {
  const counts = new Map<bigint, number>()
  for (const report of reports) if (!report.error) counts.set(report.version, (counts.get(report.version) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1] || Number(b[0] - a[0]))
}

export const targetOf = (document: Pick<Document, 'ref'>) => `${document.ref?.kind}/${document.ref?.name}`
