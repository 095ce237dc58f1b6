import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query'
import { events } from '@/api/clients'
import { key } from '@/api/keys'
import { queryRange } from '@/api/prometheus'
import type { UsedTimeRange } from '@/ui/timeRange'
import { lacking } from '../trace/queries'
import { countQuery, request, type Conditions } from './conditions'
import { follow, type Tail } from './tail'

export const useTopics = (namespace: string) =>
  useQuery({
    queryKey: key('events', namespace, 'topics'),
    queryFn: ({ signal }) => events.topics({ namespace }, { signal }),
    staleTime: 30_000,
  })

export const useEvents = (namespace: string, conditions: Conditions, range: UsedTimeRange, enabled: boolean) =>
  useQuery({
    queryKey: key('events', namespace, 'list', conditions, range.from, range.to),
    queryFn: ({ signal }) => events.query({ ...request(namespace, conditions), ...range.timestamps() }, { signal }),
    placeholderData: keepPreviousData,
    enabled,
    staleTime: 10_000,
  })

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
