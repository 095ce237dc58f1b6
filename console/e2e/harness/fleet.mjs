import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually, Process } from './process.mjs'
import { bin } from './server.mjs'

const examples = fileURLToPath(new URL('../../../examples/lending/', import.meta.url))

// As the demo: two versions of loan and risk, so that a release can be staged. Those that are called come first.
const members = /** @type {const} */ ([
  ['fund', 'v1', 'a'],
  ['bureau', 'v1', 'a'],
  ['risk', 'v1', 'a'],
  ['risk', 'v2', 'b'],
  ['loan', 'v1', 'a'],
  ['loan', 'v1', 'a'],
  ['loan', 'v1', 'b'],
  ['loan', 'v2', 'b'],
  ['portal', 'v1', 'a'],
])

/** The manifests of the sample fleet have one form: the content is the block after "content: |". @param {string} text */
function manifest(text) {
  const kind = /^kind: (\S+)$/m.exec(text)?.[1]
  const name = /^ {2}name: (\S+)$/m.exec(text)?.[1]
  const format = /^ {2}format: (\S+)$/m.exec(text)?.[1]
  const block = /^ {2}content: \|\n((?: {4}.*\n|\n)*)/m.exec(text)?.[1]
  if (!kind || !name) throw new Error(`no manifest: ${text.slice(0, 80)}`)
  if (block !== undefined && format) return { kind, name, format, content: block.replaceAll(/^ {4}/gm, '') }
  const spec = /^spec:\n((?: {2}.*\n|\n)*)/m.exec(text)?.[1] ?? ''
  return { kind, name, format: 'yaml', content: spec.replaceAll(/^ {2}/gm, '') }
}

/** What one may try: examples/lending/try. @param {string} file */
export const attempt = (file) => manifest(readFileSync(join(examples, 'try', file), 'utf8'))

/** The sample fleet, with traces, metrics and events that go to the server. */
export class Fleet {
  /** @param {import('./server.mjs').Server} server */
  constructor(server) {
    this.server = server
    /** @type {Map<string, Process>} */
    this.processes = new Map()
  }

  /** @param {import('./server.mjs').Server} server */
  static async start(server) {
    const fleet = new Fleet(server)
    const folder = join(examples, 'config')
    for (const file of readdirSync(folder)) {
      const { kind, name, format, content } = manifest(readFileSync(join(folder, file), 'utf8'))
      // Half as many customers as in the demo: two cores carry the browser too.
      const text = name === 'load.yaml' ? content.replace(/^rate: .*$/m, 'rate: 8') : content
      await server.call('ReleaseService/Publish', {
        ref: { namespace: 'default', kind, name },
        format,
        content: Buffer.from(text).toString('base64'),
        release: true,
      })
    }
    const token = await server.serviceToken({ default: 'ROLE_SERVICE' })
    /** @type {Record<string, number>} */
    const numbers = {}
    for (const [service, version, zone] of [...members, /** @type {const} */ (['load', 'v1', 'a'])]) {
      numbers[service] = (numbers[service] ?? 0) + 1
      const instance = `${service}-${numbers[service]}`
      const args = [service, '-instance', instance, '-version', version, '-zone', zone]
      const env = {
        GANTRY_GRPC_ADDRESS: server.grpc,
        GANTRY_TOKEN: token,
        GANTRY_SNAPSHOT_FOLDER: join(server.folder, 'snapshots', instance),
        OTEL_EXPORTER_OTLP_ENDPOINT: server.otlp,
      }
      fleet.processes.set(
        instance,
        new Process(join(bin, 'lending'), args, { log: join(server.folder, `${instance}.log`), env }),
      )
    }
    await eventually('the fleet is registered', async () => {
      const { instances = [] } = await server.call('InstanceService/ListInstances', {
        service: { namespace: 'default' },
        pageSize: 100,
      })
      return instances.length >= members.length
    })
    await eventually(
      'its traffic is seen',
      async () =>
        (await server.call('TraceService/SearchTraces', { namespace: 'default', service: 'fund', limit: 1 })).traces
          ?.length > 0,
      { within: 60_000, every: 500 },
    )
    return fleet
  }

  async stop() {
    await Promise.all([...this.processes.values()].map((one) => one.stop(5_000)))
  }
}
