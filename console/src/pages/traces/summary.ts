import { durationMs } from '@bufbuild/protobuf/wkt'
import type { TraceSummary } from '@/api/gen/gantry/v1/trace_pb'
import type { Outcome } from './conditions'

/** Milliseconds. */
export const lengthOf = (trace: TraceSummary) => (trace.duration ? durationMs(trace.duration) : 0)

/** One word for a trace: failed when a span failed, refused when the business said no somewhere. */
export function outcomeOf(trace: TraceSummary, refused: ReadonlySet<string>): Outcome {
  if (trace.failed > 0) return 'failed'
  return refused.has(trace.traceId) ? 'refused' : 'success'
}
