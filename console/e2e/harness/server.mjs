import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually, freePorts, Process } from './process.mjs'

/** Where `make` puts programs. */
export const bin = process.env['GANTRY_E2E_BIN'] ?? fileURLToPath(new URL('../../../bin/', import.meta.url))

/** An answer of the API that is no success. */
export class Refused extends Error {
  /** @param {number} status @param {string} code @param {string} message */
  constructor(status, code, message) {
    super(`${status} ${code}: ${message}`)
    this.status = status
    this.code = code
  }
}

/** A server with authentication on and a data folder of its own, on ports that were free. */
export class Server {
  /**
   * @param {string} folder
   * @param {{ http: number, grpc: number, otlp: number, otlpHttp: number, cluster: number, peer: number }} ports
   * @param {string[]} [flags] more of them
   */
  constructor(folder, ports, flags = []) {
    this.flags = flags
    this.folder = folder
    this.data = join(folder, 'data')
    this.ports = ports
    this.address = `http://127.0.0.1:${ports.http}`
    this.grpc = `127.0.0.1:${ports.grpc}`
    this.otlp = `http://127.0.0.1:${ports.otlp}`
    /** @type {Process | undefined} */
    this.process = undefined
    /** Of the administrator's login. */
    this.token = ''
  }

  /** Starts one, and signs in as the administrator that its first start made. @param {string} folder @param {string[]} [flags] */
  static async start(folder, flags) {
    mkdirSync(folder, { recursive: true })
    const [http, grpc, otlp, otlpHttp, cluster, peer] = await freePorts(6)
    const server = new Server(folder, { http, grpc, otlp, otlpHttp, cluster, peer }, flags)
    await server.run()
    const { token } = await server.call('AccessService/Login', { user: 'admin', password: server.password })
    server.token = token
    return server
  }

  /** The first administrator's, as docs/operating.md says. */
  get password() {
    return readFileSync(join(this.data, 'admin-password'), 'utf8').trim()
  }

  async run() {
    const at = (/** @type {number} */ port) => `127.0.0.1:${port}`
    const { ports } = this
    const started = (this.process = new Process(
      join(bin, 'gantry'),
      [
        ...['server', '--data', this.data, '--http-listen', at(ports.http), '--grpc-listen', at(ports.grpc)],
        ...['--otlp-grpc-listen', at(ports.otlp), '--otlp-http-listen', at(ports.otlpHttp)],
        ...['--cluster-listen', at(ports.cluster), '--peer-listen', at(ports.peer)],
        ...this.flags,
      ],
      { log: join(this.folder, 'server.log') },
    ))
    await eventually('the server is ready', async () => {
      if (!started.alive) throw new Error(`the server ended:\n${started.lastWords()}`)
      return (await fetch(`${this.address}/readyz`, { signal: AbortSignal.timeout(2000) })).ok
    })
  }

  async stop() {
    await this.process?.stop()
  }

  /**
   * Calls the API in JSON, as curl does.
   * @param {string} method such as ReleaseService/List
   * @param {object} message
   * @param {string} [token] the administrator's unless given
   * @returns {Promise<any>}
   */
  async call(method, message, token = this.token) {
    const answer = await fetch(`${this.address}/gantry.v1.${method}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(30_000),
    })
    const text = await answer.text()
    if (answer.ok) return JSON.parse(text)
    let told = { code: 'unknown', message: text }
    try {
      told = JSON.parse(text)
    } catch {
      // Not in the API's own form.
    }
    throw new Refused(answer.status, told.code, `${method}: ${told.message}`)
  }

  /** @param {string} kind @param {string} name @param {string} content YAML @param {string} [namespace] */
  publish(kind, name, content, namespace = 'default') {
    return this.call('ReleaseService/Publish', {
      ref: { namespace, kind, name },
      format: 'yaml',
      content: Buffer.from(content).toString('base64'),
      release: true,
    })
  }

  /** A token for programs. @param {Record<string, string>} grants role by namespace */
  async serviceToken(grants) {
    const { secret } = await this.call('AccessService/CreateToken', {
      description: "users' tasks",
      grants: Object.entries(grants).map(([namespace, role]) => ({ namespace, role })),
    })
    return secret
  }

  /** Waits for what the server's metrics answer to a question. @param {string} query PromQL @param {string} [namespace] @returns {Promise<number[]>} */
  async ask(query, namespace = 'default') {
    const url = `${this.address}/ns/${namespace}/prometheus/api/v1/query?query=${encodeURIComponent(query)}`
    const answer = await fetch(url, { headers: { Authorization: `Bearer ${this.token}` } })
    const body = await answer.json()
    return (body.data?.result ?? []).map((/** @type {any} */ one) => Number(one.value[1]))
  }
}
