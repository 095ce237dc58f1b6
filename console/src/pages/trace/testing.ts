import type { Span } from '@/api/gen/gantry/v1/trace_pb'
import type { Node } from './model'

interface Short {
  parent?: string
  service?: string
  instance?: string
  kind?: string
  name?: string
  outcome?: string
}

/** A span for tests: id, and milliseconds at which it begins and ends. */
export function span(id: string, from: number, to: number, more: Short = {}): Span {
  const at = 1_700_000_000_000 + from
  return {
    $typeName: 'gantry.v1.Span',
    traceId: '00000000000000000000000000000001',
    spanId: id,
    parentSpanId: more.parent ?? '',
    name: more.name ?? id,
    kind: more.kind ?? 'internal',
    service: more.service ?? 'loan',
    instance: more.instance ?? '',
    outcome: more.outcome ?? 'success',
    status: 'unset',
    statusMessage: '',
    version: '',
    lane: '',
    release: '',
    scope: '',
    traceState: '',
    attributes: [],
    resource: [],
    events: [],
    links: [],
    flags: 0,
    zone: '',
    start: {
      $typeName: 'google.protobuf.Timestamp',
      seconds: BigInt(Math.floor(at / 1000)),
      nanos: Math.round((at - Math.floor(at / 1000) * 1000) * 1e6),
    },
    duration: {
      $typeName: 'google.protobuf.Duration',
      seconds: BigInt(Math.floor((to - from) / 1000)),
      nanos: Math.round(((to - from) % 1000) * 1e6),
    },
  }
}

export const ids = (nodes: readonly Node[]) => nodes.map((node) => node.span.spanId)
