import type { Instance, Service } from './gen/gantry/v1/instance_pb'
import { instances } from './clients/instances'

/** Pages that are read for one list: 20,000 entries, more than a page shows with sense. */
const most = 20
const pageSize = 1000

/** Reads pages until the last. */
export async function readAll<Page extends { nextPageToken: string }, Row>(
  read: (pageToken: string) => Promise<Page>,
  rows: (page: Page) => Row[],
): Promise<Row[]> {
  const all: Row[] = []
  let token = ''
  for (let i = 0; i < most; i++) {
    const page = await read(token)
    all.push(...rows(page))
    token = page.nextPageToken
    if (!token) break
  }
  return all
}

/** All services of a namespace. */
export const allServices = (namespace: string, signal?: AbortSignal): Promise<Service[]> =>
  readAll(
    (pageToken) => instances.listServices({ namespace, pageSize, pageToken }, { signal }),
    (page) => page.services,
  )

/** All instances of a namespace, or of one service of it. */
export const allInstances = (namespace: string, signal?: AbortSignal, service = '', group = ''): Promise<Instance[]> =>
  readAll(
    (pageToken) => instances.listInstances({ service: { namespace, group, service }, pageSize, pageToken }, { signal }),
    (page) => page.instances,
  )
