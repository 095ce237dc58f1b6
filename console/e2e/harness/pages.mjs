/**
 * The main pages, with something to see on each. A page that was not built yet shows "There is no such page", which is a failure of the tasks that go through them.
 * @param {import('./server.mjs').Server} server
 * @returns {Promise<Record<string, string>>} address by name
 */
export async function pages(server) {
  const { traces } = await server.call('TraceService/SearchTraces', { namespace: 'default', service: 'loan', limit: 2 })
  const [a, b] = traces.map((/** @type {any} */ trace) => trace.traceId)
  return {
    overview: '/default/overview',
    services: '/default/services',
    service: '/default/services/loan',
    instance: '/default/services/loan/instances/loan-1',
    map: '/default/map',
    documents: '/default/documents',
    document: '/default/documents/Config/loan.yaml',
    release: '/default/documents/Config/loan.yaml?tab=release&for=stage',
    traces: '/default/traces',
    trace: `/default/traces/${a}`,
    compare: `/default/traces/compare?left=${a}&right=${b}`,
    errors: '/default/errors',
    events: '/default/events',
    alerts: '/default/alerts',
    audit: '/default/audit',
    users: '/default/users',
    cluster: '/default/cluster',
  }
}
