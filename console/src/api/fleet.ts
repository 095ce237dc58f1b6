import { queryOptions } from '@tanstack/react-query'
import { topology } from './clients/topology'
import { key } from './keys'
import { allInstances, allServices } from './paged'

// What most pages ask of a namespace, each in the cache once.

export const servicesOf = (namespace: string) =>
  queryOptions({
    queryKey: key('services', namespace, 'all'),
    queryFn: ({ signal }) => allServices(namespace, signal),
  })

export const instancesOf = (namespace: string) =>
  queryOptions({
    queryKey: key('services', namespace, 'instances'),
    queryFn: ({ signal }) => allInstances(namespace, signal),
  })

/** Rate, errors and durations of each service, of now. */
export const figuresOf = (namespace: string) =>
  queryOptions({
    queryKey: key('figures', namespace, 'services'),
    queryFn: ({ signal }) => topology.serviceFigures({ namespace }, { signal }),
  })
