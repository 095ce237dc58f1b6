import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from './process.mjs'
import { Server } from './server.mjs'

/** Three nodes that know each other, without authentication. A node that is silent for three seconds is taken for gone. @param {string} folder */
export async function startCluster(folder) {
  mkdirSync(folder, { recursive: true })
  const secret = join(folder, 'secret')
  writeFileSync(secret, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  const names = ['n1', 'n2', 'n3']
  const free = await freePorts(6 * names.length)
  const ports = names.map((_, i) => {
    const [http, grpc, otlp, otlpHttp, cluster, peer] = free.slice(6 * i)
    return { http, grpc, otlp, otlpHttp, cluster, peer }
  })
  const members = names.map((name, i) => `${name}=127.0.0.1:${ports[i].peer}`).join(',')
  const nodes = names.map((name, i) => {
    mkdirSync(join(folder, name))
    const flags = ['--name', name, '--advertise', '127.0.0.1', '--authentication', 'off']
    flags.push('--cluster-secret-file', secret, '--cluster', members, '--node-ttl', '3s')
    return new Server(join(folder, name), ports[i], flags)
  })
  try {
    await Promise.all(nodes.map((node) => node.run()))
  } catch (error) {
    await Promise.all(nodes.map((node) => node.stop()))
    throw error
  }
  return nodes
}
