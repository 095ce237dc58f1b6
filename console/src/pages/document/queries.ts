import { keepPreviousData, useQuery, type UseQueryResult } from '@tanstack/react-query'
import { Code, ConnectError } from '@connectrpc/connect'
import { releases } from '@/api/clients/releases'
import { key } from '@/api/keys'
import type { AppliedResponse, GetResponse, HistoryResponse, PreviewResponse } from '@/api/gen/gantry/v1/release_pb'
import type { Schema } from './completion'
import { cohortOf, isEmptyCohort, type CohortText, type Reference } from './reference'

/** As many entries as tell where a rollback goes, of any document that people write. */
const historyLimit = 300

/** The head, its versions and what happened; asked again whenever documents move. */
export function useHistory(ref: Reference): UseQueryResult<HistoryResponse> {
  return useQuery({
    queryKey: key('documents', ref.namespace, 'history', ref.kind, ref.name),
    queryFn: ({ signal }) => releases.history({ ref, limit: historyLimit }, { signal }),
  })
}

/** One version with its content. It never changes, so it is asked for once. */
export function useVersion(ref: Reference, version: bigint | undefined, enabled = true): UseQueryResult<GetResponse> {
  return useQuery({
    // No topic of the live line: versions do not move.
    queryKey: ['version', ref.namespace, ref.kind, ref.name, String(version)],
    queryFn: ({ signal }) => releases.get({ ref, version }, { signal }),
    enabled: enabled && version !== undefined && version > 0n,
    staleTime: Infinity,
    placeholderData: keepPreviousData,
  })
}

/** Who runs which version, kept fresh while a page shows it: instances report as they apply. */
export function useApplied(ref: Reference, enabled = true): UseQueryResult<AppliedResponse> {
  return useQuery({
    queryKey: key('figures', ref.namespace, 'applied', ref.kind, ref.name),
    queryFn: ({ signal }) => releases.applied({ ref }, { signal }),
    enabled,
  })
}

/** Who would be chosen; instances come and go, so it is asked again with them. */
export function usePreview(ref: Reference, cohort: CohortText, enabled: boolean): UseQueryResult<PreviewResponse> {
  const chosen = cohortOf(cohort)
  return useQuery({
    queryKey: key('services', ref.namespace, 'preview', ref.kind, ref.name, JSON.stringify(cohort)),
    queryFn: ({ signal }) => releases.preview({ ref, cohort: chosen }, { signal }),
    enabled: enabled && (chosen !== undefined || isEmptyCohort(cohort)),
    placeholderData: keepPreviousData,
  })
}

/** What may stand in the document; empty where nothing is known. */
export function useSchemas(ref: Reference, enabled: boolean): readonly Schema[] {
  const answer = useQuery({
    queryKey: key('documents', ref.namespace, 'schemas', ref.kind, ref.name),
    queryFn: async ({ signal }) => {
      const { schemas } = await releases.listSchemas({ ref }, { signal })
      return schemas.flatMap(({ schema }) => {
        const parsed: unknown = JSON.parse(schema)
        return typeof parsed === 'object' && parsed !== null ? [parsed as Schema] : []
      })
    },
    enabled,
  })
  return answer.data ?? none
}
const none: readonly Schema[] = []

export const isMissing = (error: unknown) => error instanceof ConnectError && error.code === Code.NotFound
