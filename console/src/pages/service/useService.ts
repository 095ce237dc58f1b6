import { Code, ConnectError } from '@connectrpc/connect'
import { useQuery } from '@tanstack/react-query'
import { useParams, useSearchParams } from 'react-router'
import { instances } from '@/api/clients/instances'
import { topology } from '@/api/clients/topology'
import { key } from '@/api/keys'
import { allInstances, readAll } from '@/api/paged'
import { useNamespace } from '@/app/namespace'

export interface ServiceName {
  namespace: string
  service: string
  group: string
}

/** The service that the address names. */
export function useServiceName(): ServiceName {
  const namespace = useNamespace()
  const service = useParams()['service'] ?? ''
  const [search] = useSearchParams()
  return { namespace, service, group: search.get('group') || 'default' }
}

/** What the registry says of the whole service; null when it knows none by this name. */
export const useSummary = ({ namespace, service, group }: ServiceName) =>
  useQuery({
    queryKey: key('services', namespace, 'one', group, service),
    queryFn: async ({ signal }) => {
      // The search is by a part of the name, so that what is exactly it may be on a later page.
      const found = await readAll(
        (pageToken) => instances.listServices({ namespace, search: service, pageSize: 1000, pageToken }, { signal }),
        (page) => page.services,
      )
      return found.find((one) => one.ref?.service === service && (one.ref.group || 'default') === group) ?? null
    },
  })

export const useInstances = ({ namespace, service, group }: ServiceName) =>
  useQuery({
    queryKey: key('services', namespace, 'instances', group, service),
    queryFn: async ({ signal }) => {
      try {
        return await allInstances(namespace, signal, service, group)
      } catch (error) {
        // A service goes with its last instance.
        if (error instanceof ConnectError && error.code === Code.NotFound) return []
        throw error
      }
    },
  })

/** What each instance did in the last minutes. */
export const useInstanceFigures = ({ namespace, service }: ServiceName) =>
  useQuery({
    queryKey: key('figures', namespace, 'instances', service),
    queryFn: ({ signal }) => topology.instanceFigures({ namespace, service }, { signal }),
  })
