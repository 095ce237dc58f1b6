import type { JsonObject } from '@bufbuild/protobuf'

// A large fleet for tests and for measuring how smoothly the map moves. No page shows it.

/** Numbers that look like chance and are the same every time. */
function chance(seed: number) {
  let state = seed
  return () => (state = (state * 1664525 + 1013904223) >>> 0) / 2 ** 32
}

const domains = 'loan risk fund account ledger card fraud notice report customer branch pricing'.split(' ')

/** TopologyResponse as JSON of so many nodes and edges: five layers of services, each with databases, caches, queues and third parties below. */
export function largeTopology(nodes = 300, edges = 1000, seed = 7) {
  const random = chance(seed)
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)]!
  const text = (ms: number) => `${(ms / 1000).toFixed(6)}s`
  const figures = (rate: number, share: number, ms: number) => ({
    calls: String(Math.round(rate * 300)),
    failed: String(Math.round(rate * 300 * share)),
    rate,
    mean: text(ms),
    p50: text(ms),
    p95: text(ms * 3),
    p99: text(ms * 6),
    max: text(ms * 10),
  })
  const layers: { name: string; type: string }[][] = [[{ name: 'user', type: 'user' }], [], [], [], [], []]
  for (let i = 1; i < nodes; i++) {
    const layer =
      i <= Math.max(1, nodes * 0.04) ? 1 : i <= nodes * 0.2 ? 2 : i <= nodes * 0.5 ? 3 : i <= nodes * 0.75 ? 4 : 5
    const type = layer < 5 ? 'service' : pick(['database', 'database', 'cache', 'queue', 'external'])
    const name =
      type === 'service' ? `${pick(domains)}-${pick(['api', 'core', 'worker', 'sync'])}-${i}` : `${type}/store-${i}`
    layers[layer]!.push({ name, type })
  }
  const made = new Map<string, JsonObject>()
  /** Calls a second to each node, and those among them that fail. */
  const served = new Map<string, { rate: number; failed: number }>()
  const connect = (caller: { name: string }, callee: { name: string; type: string }) => {
    const key = `${caller.name}>${callee.name}`
    if (made.has(key)) return
    const failing = random() < 0.01
    const rate = Number((10 ** (random() * 4 - 2)).toPrecision(3))
    made.set(key, {
      caller: caller.name,
      callee: callee.name,
      calleeType: callee.type,
      protocol: callee.type === 'service' ? pick(['http', 'grpc']) : callee.type,
      figures: figures(rate, failing ? 0.2 : 0, 2 + random() * 40),
    })
    const sum = served.get(callee.name) ?? { rate: 0, failed: 0 }
    served.set(callee.name, { rate: sum.rate + rate, failed: sum.failed + (failing ? rate * 0.2 : 0) })
  }
  for (let l = 1; l < layers.length; l++) for (const node of layers[l]!) connect(pick(layers[l - 1]!), node)
  for (let tries = 0; made.size < edges && tries < edges * 50; tries++) {
    const l = Math.floor(random() * (layers.length - 1))
    const target = random() < 0.8 ? l + 1 : Math.min(layers.length - 1, l + 1 + Math.floor(random() * 3))
    if (l > 0 || target === 1) connect(pick(layers[l]!), pick(layers[target]!))
  }
  return {
    answered: { since: '2026-11-26T05:00:00Z', until: '2026-11-26T05:05:00Z' },
    nodes: layers.flat().map((node) => {
      const { rate, failed } = served.get(node.name) ?? { rate: 0, failed: 0 }
      return { ...node, figures: figures(rate, rate > 0 ? failed / rate : 0, 10) }
    }),
    edges: [...made.values()],
  }
}
