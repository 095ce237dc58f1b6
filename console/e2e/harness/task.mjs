import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { launch, noBrowser, Window } from './browser.mjs'
import { Fleet } from './fleet.mjs'
import { Server } from './server.mjs'

// All tasks share one browser, one server and one fleet, made when the first task asks for them: a start takes seconds. Tasks run one after the other, and put back
// what they changed.

/** Most of all time that a task takes on two busy cores. */
const patience = 120_000

const absent = noBrowser()
/** @type {string | undefined} */
let folder
/** @type {Promise<import('playwright-core').Browser> | undefined} */
let browser
/** @type {Promise<{ server: Server, fleet: Fleet }> | undefined} */
let world
let failed = false

const scratch = () => (folder ??= mkdtempSync(join(tmpdir(), 'gantry-console-')))

after(
  async () => {
    await (await browser)?.close()
    const made = await world?.catch(() => undefined)
    await made?.fleet.stop()
    await made?.server.stop()
    if (!folder) return
    if (failed || (world && !made)) console.log(`logs and pictures of what failed stay in ${folder}`)
    else rmSync(folder, { recursive: true, force: true })
  },
  { timeout: 60_000 },
)

/** @param {string} inside */
async function begin(inside) {
  // Receivers of alerts may be on this machine.
  const server = await Server.start(inside, ['--alert-allow-networks', '127.0.0.0/8'])
  try {
    return { server, fleet: await Fleet.start(server) }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/**
 * What a task has at hand.
 * @typedef {object} Hand
 * @property {(look?: import('./browser.mjs').Look, at?: string) => Promise<Window>} window a new window, of nobody
 * @property {(look?: import('./browser.mjs').Look) => Promise<Window>} admin one where the administrator is signed in
 * @property {() => Promise<{ server: Server, fleet: Fleet }>} world the server with the sample fleet
 * @property {(name: string) => string} folder one of the task's own
 * @property {(text: string) => void} say a line of the report
 * @property {(undo: () => Promise<unknown>) => void} afterwards puts something back, however the task ends
 */

/**
 * A user's task in the browser. It fails too when the page had an error, or the content security policy refused something, and nobody said that this is right.
 * @param {string} name
 * @param {(hand: Hand) => Promise<void>} run
 * @param {{ timeout?: number }} [options]
 */
export function task(name, run, { timeout = patience } = {}) {
  void test(name, { skip: absent ?? false, timeout }, async (t) => {
    /** @type {Window[]} */
    const windows = []
    /** @type {(() => Promise<unknown>)[]} */
    const undo = []
    const open = async (
      /** @type {import('./browser.mjs').Look} */ look = {},
      /** @type {string | undefined} */ at = undefined,
    ) => {
      const address = at ?? (await hand.world()).server.address
      const window = await Window.open(await (browser ??= launch()), address, look)
      windows.push(window)
      return window
    }
    /** @type {Hand} */
    const hand = {
      window: open,
      admin: async (look) => {
        const window = await open(look)
        const { server } = await hand.world()
        // The cookie as the form gets it; the form has a task of its own.
        const answer = await window.context.request.post(`${server.address}/console/session`, {
          data: { user: 'admin', password: server.password },
          headers: { Origin: server.address },
        })
        if (!answer.ok()) throw new Error(`sign-in: ${answer.status()} ${await answer.text()}`)
        return window
      },
      world: () => (world ??= begin(join(scratch(), 'world'))),
      folder: (inside) => join(scratch(), inside),
      say: (text) => t.diagnostic(text),
      afterwards: (one) => void undo.push(one),
    }
    try {
      await run(hand)
      const complaints = windows.flatMap((window) => window.complaints)
      if (complaints.length > 0) throw new Error(`the page had errors:\n${complaints.join('\n')}`)
    } catch (error) {
      failed = true
      for (const [i, window] of windows.entries())
        await window.keep(join(scratch(), 'failed'), `${name.replaceAll(/[^a-z0-9]+/gi, '-')}-${i + 1}`).catch(() => {})
      throw error
    } finally {
      for (const one of undo.reverse()) await one().catch((problem) => t.diagnostic(`not put back: ${problem}`))
      await Promise.all(windows.map((window) => window.close().catch(() => {})))
    }
  })
}
