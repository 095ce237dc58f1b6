// Measures how a trace of 10,000 spans opens and moves: `node scripts/trace-frames.mjs` starts the server of `make build` (another folder by GANTRY_E2E_BIN) on ports of
// its own, sends it such a trace as a service would, and looks at it in Debian's Chromium. The number of spans may follow, and the name of a picture.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launch } from '../e2e/harness/browser.mjs'
import { eventually, freePorts } from '../e2e/harness/process.mjs'
import { Server } from '../e2e/harness/server.mjs'
import { frameCounter } from './frames.mjs'

const [count = '10000', picture = ''] = process.argv.slice(2)
const spans = Number(count)
const traceId = 'f1'.repeat(16)
const second = 1_000_000_000n

/** Each span calls five others, one after the other; a leaf is a call of a database. @param {number} all */
function trace(all) {
  const begin = (BigInt(Date.now()) - 120_000n) * 1_000_000n
  const services = Array.from({ length: 12 }, (_, i) => `service-${i}`)
  /** @type {{ from: bigint, to: bigint, depth: number }[]} */
  const places = []
  return Array.from({ length: all }, (_, i) => {
    const parent = Math.floor((i - 1) / 5)
    const above = places[parent]
    const part = above ? (above.to - above.from) / 5n : 60n * second
    const from = above ? above.from + part * BigInt((i - 1) % 5) : begin
    const place = { from, to: from + (above ? (part * 9n) / 10n : part), depth: (above?.depth ?? -1) + 1 }
    places.push(place)
    const leaf = i * 5 + 1 >= all
    const service = services[(i * 7 + place.depth) % services.length] ?? ''
    return {
      service,
      span: {
        traceId,
        spanId: (i + 1).toString(16).padStart(16, '0'),
        parentSpanId: above ? (parent + 1).toString(16).padStart(16, '0') : undefined,
        name: leaf ? `SELECT table_${i % 40}` : `POST /step/${i % 60}`,
        kind: leaf ? 3 : 2,
        startTimeUnixNano: String(place.from),
        endTimeUnixNano: String(place.to),
        status: i % 97 === 96 ? { code: 2, message: 'deadline exceeded' } : {},
        attributes: [
          ...['order.no', 'http.route', 'customer.segment', 'thread.name'].map((key) => ({
            key,
            value: { stringValue: `${key} ${i % 500}` },
          })),
          { key: 'attempt', value: { intValue: String(i % 4) } },
        ],
        events: i % 20 === 0 ? [{ timeUnixNano: String(place.from + 1000n), name: 'retry' }] : [],
      },
    }
  })
}

/** @param {string} address of OTLP by HTTP */
async function send(address) {
  const all = trace(spans)
  for (let at = 0; at < all.length; at += 1000) {
    const part = all.slice(at, at + 1000)
    const resourceSpans = [...new Set(part.map(({ service }) => service))].map((service) => ({
      resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
      scopeSpans: [{ spans: part.filter((one) => one.service === service).map(({ span }) => span) }],
    }))
    const answer = await fetch(`${address}/v1/traces`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ resourceSpans }),
    })
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  }
}

// Run in the page: how long from the first of some kind of event until what it did has been painted.
const listen = `
  window.reactions = []
  for (const type of ['keydown', 'click'])
    addEventListener(type, () => {
      const began = performance.now()
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel()
        port1.onmessage = () => window.reactions.push(performance.now() - began)
        port2.postMessage(0)
      })
    }, { capture: true })
  new MutationObserver((_, observer) => {
    if (!document.querySelector('[role="treeitem"]')) return
    observer.disconnect()
    requestAnimationFrame(() => (window.firstRow = performance.now()))
  }).observe(document, { childList: true, subtree: true })`

/** @param {import('playwright-core').Page} page @param {string} what @param {(() => Promise<void>)[]} acts */
async function reactions(page, what, acts) {
  /** @type {number[]} */
  const took = []
  for (const act of acts) {
    await page.evaluate('window.reactions = []')
    await act()
    took.push(
      await eventually(`${what} is painted`, () => page.evaluate('window.reactions[0]'), { every: 20, within: 10_000 }),
    )
    await page.waitForTimeout(150)
  }
  took.sort((a, b) => a - b)
  const at = (/** @type {number} */ q) => (took[Math.min(took.length - 1, Math.floor(q * took.length))] ?? 0).toFixed(0)
  console.log(`${what}: p50 ${at(0.5)} ms, longest ${at(1)} ms, of ${took.length}`)
}

/** @param {Server} server */
async function look(server) {
  const browser = await launch()
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
    await page.addInitScript(listen)
    const address = `${server.address}/console/default/traces/${traceId}`
    for (const what of ['for the first time', 'with the app in the cache', 'once more']) {
      await page.goto('about:blank')
      await page.goto(address, { timeout: 120_000 })
      /** @type {number} */
      const first = await eventually('the first row', () => page.evaluate('window.firstRow'), { within: 60_000 })
      const got = await page.evaluate(
        "performance.getEntriesByType('resource').find(({ name }) => name.endsWith('/GetTrace'))?.responseEnd",
      )
      console.log(
        `opened ${what}: first row after ${first.toFixed(0)} ms, of which ${got?.toFixed(0)} ms for the answer`,
      )
    }
    await page.waitForTimeout(2000)
    const rows = page.locator('.g-trace-waterfall')
    const inDocument = async () => {
      const of = await page.evaluate(
        "[document.querySelectorAll('[role=\"treeitem\"]').length, document.querySelectorAll('*').length]",
      )
      return `${of[0]} rows, ${of[1]} elements in all`
    }
    console.log(`in the document: ${await inDocument()}`)
    await rows.scrollIntoViewIfNeeded()
    const frames = await frameCounter(page)
    await frames('at rest', () => page.waitForTimeout(1000))
    await rows.hover()
    await frames('from end to end by the wheel', async () => {
      // Until it moves no more.
      for (let before = -1, now = 0; now > before;) {
        before = now
        for (let i = 0; i < 20; i++) {
          await page.mouse.wheel(0, 1500)
          await page.waitForTimeout(16)
        }
        now = await rows.evaluate((element) => element.scrollTop)
      }
    })
    console.log(`at the end: ${await inDocument()}`)
    await rows.evaluate((element) => element.scrollTo(0, 0))
    await page.locator('[role="tree"]').focus()
    const press = (/** @type {string} */ key) => () => page.keyboard.press(key)
    await reactions(page, 'the first arrow key, which opens the span beside', [press('ArrowDown')])
    await reactions(page, 'one arrow key', Array(20).fill(press('ArrowDown')))
    await frames('an arrow key held down for 90 spans', async () => {
      for (let i = 0; i < 90; i++) {
        await page.keyboard.press('ArrowDown')
        await page.waitForTimeout(16)
      }
    })
    await page.keyboard.press('Home')
    await page.waitForTimeout(1000)
    const fold = page.locator('[role="treeitem"] button').first()
    await reactions(page, 'folding the root', [() => fold.click()])
    await reactions(page, 'unfolding it', [() => fold.click()])
    await page.keyboard.press('/')
    const words = [...'service-7 step'].map((key) => press(key === ' ' ? 'Space' : key))
    await reactions(page, 'the first letter of a search', words.slice(0, 1))
    await reactions(page, 'a further letter', words.slice(1))
    await reactions(page, 'the next match', Array(5).fill(press('Enter')))
    if (picture) await page.screenshot({ path: picture })
  } finally {
    await browser.close()
  }
}

const folder = mkdtempSync(join(tmpdir(), 'gantry-trace-frames-'))
const [http, grpc, otlp, otlpHttp, cluster, peer] = /** @type {[number, number, number, number, number, number]} */ (
  await freePorts(6)
)
const server = new Server(folder, { http, grpc, otlp, otlpHttp, cluster, peer }, ['--dev'])
try {
  await server.run()
  await send(`http://127.0.0.1:${otlpHttp}`)
  await eventually('all spans are there', async () => {
    const { spans: known = [] } = await server.call('TraceService/GetTrace', { namespace: 'default', traceId })
    return known.length === spans
  })
  await look(server)
} finally {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
}
