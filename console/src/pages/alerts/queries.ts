import { useQuery } from '@tanstack/react-query'
import { alerts } from '@/api/clients/alerts'
import { releases } from '@/api/clients/releases'
import type { ExportResponse } from '@/api/gen/gantry/v1/release_pb'
import { key } from '@/api/keys'

/** Rules with their alerts. Values and what is silenced move with the clock, so they are asked with the figures. */
export const useAlertRules = (namespace: string) =>
  useQuery({
    queryKey: key('figures', namespace, 'alert-rules'),
    queryFn: ({ signal }) => alerts.listAlerts({ namespace }, { signal }),
  })

/** What is released of a kind, with its content. */
export const useReleased = (namespace: string, kind: string) =>
  useQuery({
    queryKey: key('documents', namespace, 'released', kind),
    queryFn: async ({ signal }) => {
      const all: ExportResponse[] = []
      for await (const one of releases.export({ namespace, kind }, { signal })) all.push(one)
      return all
    },
  })
