// Measures how smoothly the map moves with 300 nodes and 1,000 edges: `node scripts/map-frames.mjs http://127.0.0.1:8848` against a server (or `npm run dev`) that
// needs no sign-in; query and path of a picture may follow. The graph is made up here; everything else is the real page in Debian's Chromium. Beside the time
// between frames it tells the processor's time a frame, which says more on a busy machine: of the page's thread, and of all that Chromium needs to draw.
import { chromium } from 'playwright-core'
import { createServer } from 'vite'
import { frameCounter } from './frames.mjs'

const [address = 'http://127.0.0.1:8848', query = '', picture = ''] = process.argv.slice(2)
const vite = await createServer({
  cacheDir: 'node_modules/.vite-frames',
  server: { middlewareMode: true, hmr: false, ws: false },
  logLevel: 'error',
  optimizeDeps: { noDiscovery: true },
})
const { largeTopology } = await vite.ssrLoadModule('/src/pages/map/fixture.ts')
await vite.close()
const body = JSON.stringify(largeTopology(300, 1000))

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
})
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
await page.route('**/gantry.v1.TopologyService/Topology', (route) =>
  route.fulfill({ contentType: 'application/json', body }),
)
const frames = await frameCounter(page)

const began = Date.now()
await page.goto(`${address}/console/default/map?${query}`, { timeout: 120_000 })
await page.waitForSelector('.react-flow__node', { timeout: 120_000 })
console.log(`places after ${Date.now() - began} ms`)
await page.waitForTimeout(4000)

// Run in the page: it is text, for what it names is not of Node.
const drawn =
  "document.querySelectorAll('.react-flow__node').length + ' nodes, ' + document.querySelectorAll('*').length + ' elements in all'"

const box = await page.locator('.g-map').boundingBox()
if (!box) throw new Error('the map is not shown')
const middle = { x: box.x + box.width / 2, y: box.y + 12 }
await frames('at rest', () => page.waitForTimeout(2000))
await frames('panning', async () => {
  await page.mouse.move(middle.x, middle.y)
  await page.mouse.down()
  for (let i = 0; i < 60; i++) {
    await page.mouse.move(middle.x + Math.sin(i / 10) * 200, middle.y + (1 - Math.cos(i / 10)) * 100)
    await page.waitForTimeout(16)
  }
  await page.mouse.up()
})
await frames('zooming', async () => {
  for (let i = 0; i < 20; i++) {
    await page.mouse.wheel(0, i < 10 ? -60 : 60)
    await page.waitForTimeout(32)
  }
})
console.log(await page.evaluate(drawn))
if (picture) await page.screenshot({ path: picture })
await browser.close()
