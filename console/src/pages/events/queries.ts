import { keepPreviousData, useInfiniteQuery, useQuery, useQueryClient, type InfiniteData } from '@tanstack/react-query'
import type { Timestamp } from '@bufbuild/protobuf/wkt'
import { useCallback, useMemo } from 'react'
import { events } from '@/api/clients/events'
import { key } from '@/api/keys'
import { queryRange } from '@/api/prometheus'
import type { UsedTimeRange } from '@/ui/timeRange'
import { lacking } from '../trace/queries'
import { countQuery, request, type Conditions } from './conditions'
import { follow, type Tail } from './tail'
import { joined, mostAnswered, older, type Ask, type Edge, type Step } from './walk'

export const useTopics = (namespace: string) =>
  useQuery({
    queryKey: key('events', namespace, 'topics'),
    queryFn: ({ signal }) => events.topics({ namespace }, { signal }),
    staleTime: 30_000,
  })

/** Events that are kept in the page: more than anybody reads. */
export const mostKept = 20_000

const timestamp = (at: bigint) => ({ seconds: at / 1_000_000_000n, nanos: Number(at % 1_000_000_000n) })
const nanoseconds = ({ seconds, nanos }: Timestamp) => seconds * 1_000_000_000n + BigInt(nanos)

/** Events of a time range, the newest first; older ones by `older`, until there are no more. */
export function useEvents(namespace: string, conditions: Conditions, range: UsedTimeRange, enabled: boolean) {
  const client = useQueryClient()
  const queryKey = key('events', namespace, 'list', conditions, range.from, range.to)
  const query = useInfiniteQuery({
    queryKey,
    queryFn: ({ signal, pageParam }) => {
      const ask: Ask = async ({ since, until, limit, after }) => {
        const bounds = { since: timestamp(since), until: timestamp(until), limit, after }
        const answer = await events.query({ ...request(namespace, conditions), ...bounds }, { signal })
        const { truncated, next } = answer
        return { events: answer.events, truncated, next, ...lacking(answer) }
      }
      if (pageParam) return older(ask, pageParam, mostAnswered)
      const { since, until } = range.timestamps()
      return older(ask, { since: nanoseconds(since), at: nanoseconds(until) }, conditions.limit)
    },
    initialPageParam: undefined as Edge | undefined,
    getNextPageParam: ({ edge }, pages) =>
      edge.at > edge.since && pages.reduce((sum, { events }) => sum + events.length, 0) < mostKept ? edge : undefined,
    placeholderData: keepPreviousData,
    enabled,
    // Who has walked back keeps what is there until they ask anew: all of it would be read again.
    staleTime: ({ state }) =>
      ((state.data as InfiniteData<Step> | undefined)?.pages.length ?? 0) > 1 ? Infinity : 10_000,
    structuralSharing: false,
  })
  const { data, refetch, fetchNextPage, hasNextPage, isFetching, isFetchNextPageError } = query
  const known = useMemo(() => data && wholeOf(data.pages), [data])
  const more = useCallback(() => void fetchNextPage(), [fetchNextPage])
  return {
    known,
    error: isFetchNextPageError ? null : query.error,
    olderError: isFetchNextPageError ? query.error : null,
    hasOlder: hasNextPage,
    isFetching,
    isFetchingOlder: query.isFetchingNextPage,
    older: more,
    /** Begins anew with the newest. */
    refetch: () => {
      client.setQueryData<InfiniteData<Step>>(
        queryKey,
        (old) => old && { pages: old.pages.slice(0, 1), pageParams: old.pageParams.slice(0, 1) },
      )
      return refetch()
    },
  }
}

function wholeOf(steps: readonly Step[]) {
  const edge = steps.at(-1)!.edge
  return {
    events: joined(steps),
    /** Back to this moment all are there; unset where that is all that was asked for. */
    downTo: edge.at > edge.since ? new Date(Number(edge.at / 1_000_000n)) : undefined,
    hole: steps.some(({ hole }) => hole),
    missing: [...new Set(steps.flatMap(({ missing }) => missing))],
    partial: [...new Set(steps.flatMap(({ partial }) => partial))],
  }
}

/** Answers that are read in one go; the rest comes with the next tick. */
const mostAnswers = 5

/** Follows events: with every tick of the live line what is behind the place that was reached. What was reached is the data of the query itself. */
export function useTail(namespace: string, conditions: Conditions, enabled: boolean) {
  const client = useQueryClient()
  const queryKey = key('figures', namespace, 'tail', { ...conditions, limit: 0 })
  return useQuery({
    queryKey,
    queryFn: async ({ signal }): Promise<Tail> => {
      const question = { ...request(namespace, conditions), limit: 500 }
      let tail = client.getQueryData<Tail>(queryKey)
      if (!tail) {
        const answer = await events.query({ ...question, limit: 100 }, { signal })
        const { missing, partial } = lacking(answer)
        return { events: answer.events, after: answer.next, missing, partial, fresh: new Set(), cut: false }
      }
      for (let i = 0; i < mostAnswers; i++) {
        const answer = await events.query({ ...question, after: tail.after }, { signal })
        tail = follow(tail, answer, lacking(answer).missing)
        if (answer.events.length < question.limit) break
      }
      return tail
    },
    enabled,
    // Who turns it on again begins anew.
    gcTime: 0,
    structuralSharing: false,
  })
}

/** A step that gives bars that can be seen: about 60. */
const stepFor = (milliseconds: number) =>
  [15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600].find((step) => milliseconds / 1000 / step <= 60) ?? 86400

export function useCounts(namespace: string, conditions: Conditions, range: UsedTimeRange) {
  const { topic, service, outcomes } = conditions
  return useQuery({
    queryKey: key('figures', namespace, 'events', topic, service, outcomes, range.from, range.to),
    queryFn: async ({ signal }) => {
      const span = range.span()
      const step = stepFor(span.until.getTime() - span.since.getTime())
      const answer = await queryRange(namespace, countQuery(conditions, step), span, step, signal)
      return { ...answer, step }
    },
    placeholderData: keepPreviousData,
    staleTime: 7_500,
  })
}
