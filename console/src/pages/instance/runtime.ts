import { useQuery, useQueryClient } from '@tanstack/react-query'
import { key } from '@/api/keys'
import { promString } from '@/api/prometheus'
import { ranges, windowOf } from '@/api/series'
import { stepOf, type UsedTimeRange } from '@/ui/timeRange'

export const measures = ['cpu', 'memory', 'tasks', 'pauses', 'files'] as const
export type Measure = (typeof measures)[number]

/** The same thing has another name in each runtime: the first that there is counts. */
export function expressions(service: string, instance: string, window: string): Record<Measure, string> {
  const of = `{service=${promString(service)},instance=${promString(instance)}}`
  const speed = (name: string) => `sum(rate(${name}${of}[${window}]))`
  const sum = (name: string, more = '') => `sum(${name}${more ? of.replace('}', `,${more}}`) : of})`
  return {
    cpu: [
      speed('process_cpu_seconds_total'),
      speed('process_cpu_time_seconds_total'),
      speed('jvm_cpu_time_seconds_total'),
      sum('process_cpu_usage'),
    ].join(' or '),
    memory: [
      sum('process_resident_memory_bytes'),
      sum('process_memory_usage_bytes'),
      sum('go_memory_used_bytes'),
      sum('jvm_memory_used_bytes'),
      sum('nodejs_heap_size_used_bytes'),
    ].join(' or '),
    tasks: [
      sum('go_goroutines'),
      sum('go_goroutine_count'),
      sum('jvm_thread_count'),
      sum('jvm_threads_live_threads'),
      sum('process_num_threads'),
      sum('process_thread_count'),
    ].join(' or '),
    pauses: [
      speed('go_gc_duration_seconds_sum'),
      speed('jvm_gc_pause_seconds_sum'),
      `sum(histogram_sum(rate(jvm_gc_duration_seconds${of}[${window}])))`,
      speed('jvm_gc_duration_seconds_sum'),
    ].join(' or '),
    files: [sum('process_open_fds'), sum('process_files_open_files'), sum('process_open_file_descriptor_count')].join(
      ' or ',
    ),
  }
}

/** What the process of an instance takes, over time. */
export function useRuntime(namespace: string, service: string, instance: string, range: UsedTimeRange) {
  const client = useQueryClient()
  return useQuery({
    queryKey: key('figures', namespace, 'runtime', service, instance, range.from, range.to),
    queryFn: ({ signal, queryKey }) => {
      const span = range.span()
      const step = stepOf(span, 120)
      return ranges(client, queryKey, namespace, expressions(service, instance, windowOf(step)), span, step, signal)
    },
  })
}
