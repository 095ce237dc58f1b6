import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { bin } from '../harness/server.mjs'
import { pages } from '../harness/pages.mjs'
import { task } from '../harness/task.mjs'

/** Runs what was copied as it is, in a shell. @param {string} text @param {Record<string, string>} env @returns {Promise<{ code: number | null, out: string, err: string }>} */
const shell = (text, env) =>
  new Promise((resolve, reject) => {
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GANTRY_')))
    const child = spawn('/bin/sh', ['-c', text], { env: { ...inherited, ...env }, timeout: 20_000 })
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk) => (out += chunk))
    child.stderr.on('data', (chunk) => (err += chunk))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, out, err }))
  })

// Those that show more than one thing have a command for each.
const more = {
  'services, searched': '/default/services?q=loan',
  "a service's instances": '/default/services/loan?tab=instances',
  "a service's endpoints": '/default/services/loan?tab=endpoints&order=busiest&from=-7d&to=now',
  "a service's configuration": '/default/services/loan?tab=configuration',
  "a service's changes": '/default/services/loan?tab=changes&from=-2h&to=-1m',
  "a service's settings": '/default/services/loan?tab=settings',
  'documents, searched': '/default/documents?q=loan&kind=Config&deleted=1',
  "a document's version": '/default/documents/Config/loan.yaml?version=1',
  "a document's history": '/default/documents/Config/loan.yaml?tab=history',
  'a release to all': '/default/documents/Config/loan.yaml?tab=release&for=all',
  'a release by label': '/default/documents/Config/loan.yaml?tab=release&for=stage&label=zone%3Da&percent=50',
  'traces of a week': '/default/traces?from=-7d&to=now',
  'events of a week': '/default/events?from=-7d&to=now',
  'audit of a week': '/default/audit?from=-7d&to=now',
}

/** @param {import('../harness/task.mjs').Hand} hand @param {(server: import('../harness/server.mjs').Server) => Promise<Record<string, string>> | Record<string, string>} chosen */
async function run({ world, admin, folder, say }, chosen) {
  const { server } = await world()
  const home = folder('home')
  mkdirSync(home, { recursive: true })
  const path = `${bin}:${process.env['PATH'] ?? ''}`
  // As a person who signed in by the command line: nothing but that stands between what was copied and the server.
  const env = { PATH: path, HOME: home, GANTRY_CLI_CONFIG: join(home, 'config.yaml') }
  const login = await shell(
    `printf '%s\\n' "$PASSWORD" | gantry login ${server.address} --user admin --password-file -`,
    { ...env, PASSWORD: server.password },
  )
  assert.equal(login.code, 0, login.err)

  const me = await admin()
  const { page } = me
  await me.context.grantPermissions(['clipboard-read', 'clipboard-write'])
  const copied = async (/** @type {string} */ words) => {
    await page.evaluate(() => navigator.clipboard.writeText(''))
    await page.getByRole('button', { name: 'Copy as' }).click()
    await page.getByRole('menuitem', { name: words, exact: true }).click()
    await page.waitForFunction(async () => (await navigator.clipboard.readText()) !== '')
    return page.evaluate(() => navigator.clipboard.readText())
  }
  /** @type {string[]} */
  const wrong = []
  /** What was run, by page. @type {Promise<void>[]} */
  const runs = []
  const check = async (
    /** @type {string} */ name,
    /** @type {string} */ text,
    /** @type {Record<string, string>} */ env,
  ) => {
    const { code, out, err } = await shell(text, env)
    // A difference that is found is an answer, too.
    const found = text.startsWith('gantry diff') && code === 7
    if (code !== 0 && !found) wrong.push(`${name}: exit code ${code} of\n${text}\n${err}${out.slice(0, 400)}`)
    else if (text.startsWith('curl')) {
      const answer = /** @type {any} */ (JSON.parse(out))
      if (answer.code !== undefined || answer.status === 'error') wrong.push(`${name}: ${text}\n${out.slice(0, 400)}`)
    }
  }
  const places = Object.entries(await chosen(server))
  for (const [name, place] of places) {
    await me.go(place)
    await me.settled()
    runs.push(check(name, await copied('Command'), env))
    runs.push(check(name, await copied('curl'), { ...env, GANTRY_TOKEN: server.token }))
  }
  await Promise.all(runs)
  say(`${runs.length} texts of ${places.length} pages were run`)
  assert.deepEqual(wrong, [])
}

task('what every page copies as a command and as a call works as it is', (hand) => run(hand, pages))
task('and so does what its parts copy', (hand) => run(hand, () => more))
