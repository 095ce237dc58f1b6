import { timestampMs } from '@bufbuild/protobuf/wkt'
import { useQuery, useQueryClient, type UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { AppliedSummary, Document } from '@/api/gen/gantry/v1/release_pb'
import { releases } from '@/api/clients/releases'
import { key } from '@/api/keys'
import { pacer } from '@/api/paced'
import { readAll } from '@/api/paged'

const pageSize = 1000

/** For so long after a change instances may yet report a document for the first time. */
const settling = 2 * 60_000

/** A document, and how many instances run what they should of it. */
export interface Listed {
  document: Document
  applied: AppliedSummary | undefined
}

export interface Documents {
  all: readonly Listed[]
  /** Nodes that did not answer: what their instances run is not counted. */
  missingNodes: readonly string[]
  /** Instances are on their way to what they should run. They report as they get there, which moves no document. */
  moving: boolean
}

export const inForce = (document: Document) => document.releasedVersion > 0n || document.rollout !== undefined

/** Instances that neither run what they should nor refused it. */
export const waitingOf = (applied: AppliedSummary) => applied.instances - applied.current - applied.failed

/** How much a document wants to be looked at: refused before waiting, waiting before applied, and what nobody reports last. */
export function troubleOf({ document, applied }: Listed): number {
  if (!inForce(document) || !applied) return -1
  if (applied.failed > 0) return 3
  return waitingOf(applied) > 0 ? 2 : applied.instances > 0 ? 1 : 0
}

export function isMoving({ document, applied }: Listed, now: number): boolean {
  if (!inForce(document)) return false
  if (applied && waitingOf(applied) > 0) return true
  return document.updatedAt !== undefined && now - timestampMs(document.updatedAt) < settling
}

/** All documents of a namespace with how far each is applied, in one question: asked again when documents move, and with each tick while instances are on their way. */
export function useDocuments(namespace: string, deleted: boolean): UseQueryResult<Documents> {
  const client = useQueryClient()
  // One for each list: what another took says nothing of this one.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const pace = useMemo(() => pacer(), [namespace, deleted])
  const queryKey = key('documents', namespace, 'all with applied', deleted)
  const query = useQuery({
    queryKey,
    queryFn: ({ signal }) => pace.ask(() => read(namespace, deleted, signal), signal),
  })
  // No question of its own: it hands the tick on.
  useQuery({
    queryKey: key('figures', namespace, 'documents on their way', deleted),
    queryFn: async () => {
      await client.invalidateQueries({ queryKey, exact: true }, { cancelRefetch: false })
      return null
    },
    enabled: query.data?.moving === true,
    initialData: null,
  })
  return query
}

async function read(namespace: string, includeDeleted: boolean, signal: AbortSignal): Promise<Documents> {
  const missing = new Set<string>()
  const all = await readAll(
    (pageToken) => releases.list({ namespace, includeDeleted, applied: true, pageSize, pageToken }, { signal }),
    (page) => {
      page.missingNodes.forEach((node) => missing.add(node))
      return page.documents.map((document, i): Listed => ({ document, applied: page.applied[i] }))
    },
  )
  const now = Date.now()
  return { all, missingNodes: [...missing].sort(), moving: all.some((one) => isMoving(one, now)) }
}
