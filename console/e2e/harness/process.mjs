import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What runs at this moment; nothing of it outlives this program. @type {Set<Process>} */
const running = new Set()

process.on('exit', () => running.forEach((one) => one.kill()))
for (const [signal, code] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
]))
  process.on(signal, () => process.exit(code))

/** A program that was started, with its output in a file. */
export class Process {
  /**
   * @param {string} program
   * @param {string[]} args
   * @param {{ log: string, env?: Record<string, string> }} options
   */
  constructor(program, args, { log, env = {} }) {
    this.log = log
    const output = openSync(log, 'a', 0o600)
    // Settings of whoever runs the tests are not the tests'.
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GANTRY|OTEL)_/.test(name)))
    this.child = spawn(program, args, { stdio: ['ignore', output, output], env: { ...inherited, ...env } })
    closeSync(output)
    this.ended = new Promise((resolve) => {
      this.child.once('exit', resolve)
      this.child.once('error', resolve)
    }).then(() => void running.delete(this))
    running.add(this)
  }

  get alive() {
    return running.has(this)
  }

  kill() {
    this.child.kill('SIGKILL')
  }

  /** Asks it to stop, and kills it when it has not after some time. */
  async stop(patience = 20_000) {
    if (!this.alive) return
    this.child.kill('SIGTERM')
    const limit = setTimeout(() => this.kill(), patience)
    await this.ended
    clearTimeout(limit)
  }

  /** The end of its log, for an error. */
  lastWords() {
    return readFileSync(this.log, 'utf8').split('\n').slice(-12).join('\n')
  }
}

/** Ports that are free now. @param {number} count @returns {Promise<number[]>} */
export async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer())
  try {
    return await Promise.all(
      servers.map(
        (server) =>
          new Promise((resolve, reject) => {
            server.once('error', reject)
            server.listen(0, '127.0.0.1', () =>
              resolve(/** @type {import('node:net').AddressInfo} */ (server.address()).port),
            )
          }),
      ),
    )
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }
}

/**
 * Waits until something holds: until look answers something other than undefined and false. An error counts as "not yet", and is told when the time is over.
 * @template T
 * @param {string} what
 * @param {() => Promise<T | undefined | false> | T | undefined | false} look
 * @param {{ within?: number, every?: number }} [bounds] in milliseconds
 * @returns {Promise<T>}
 */
export async function eventually(what, look, { within = 30_000, every = 100 } = {}) {
  const until = Date.now() + within
  let problem
  do {
    try {
      const found = await look()
      if (found !== undefined && found !== false) return found
      problem = undefined
    } catch (error) {
      problem = error
    }
    await sleep(every)
  } while (Date.now() < until)
  throw new Error(`${what}: not within ${within / 1000} s`, { cause: problem })
}
