import type { QueryClient } from '@tanstack/react-query'
import type { Span } from '@/ui/timeRange'
import { grid, queryRange, type RangeAnswer } from './prometheus'

/**
 * Asks several PromQL expressions over the same time. Points lie at multiples of the step: until the next one is due there is nothing new, and what is known under
 * the key is answered again instead of asking the server with every tick.
 */
export async function ranges<Name extends string>(
  client: QueryClient,
  queryKey: readonly unknown[],
  namespace: string,
  expressions: Record<Name, string>,
  span: Span,
  step: number,
  signal?: AbortSignal,
): Promise<Ranges<Name>> {
  const { start, end } = grid(span, step)
  const before = client.getQueryData<Ranges<Name>>(queryKey)
  if (before && before.start === start && before.end === end && before.step === step) return before
  const names = Object.keys(expressions) as Name[]
  const answers = await Promise.all(names.map((name) => queryRange(namespace, expressions[name], span, step, signal)))
  const parts = Object.fromEntries(names.map((name, i) => [name, answers[i]!])) as Record<Name, RangeAnswer>
  return { start, end, step, times: answers[0]?.times ?? [], parts }
}

export interface Ranges<Name extends string> {
  start: number
  end: number
  step: number
  times: number[]
  parts: Record<Name, RangeAnswer>
}

/** The window of a rate at a step: at least a minute, so that a few scrapes lie in it, and never less than what lies between two points. */
export const windowOf = (step: number) => `${Math.max(60, step)}s`
