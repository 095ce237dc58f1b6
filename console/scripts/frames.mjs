// Times between frames, and what they cost: for the scripts that measure how smoothly a page moves.

// Run in the page: they are text, for what they name is not of Node.
const startCounting = `
  window.frameTimes = []
  window.counting = true
  requestAnimationFrame(function tick(now) {
    window.frameTimes.push(now)
    if (window.counting) requestAnimationFrame(tick)
  })
  undefined`
const stopCounting = '(window.counting = false, window.frameTimes)'

/**
 * One that counts: `await frames('panning', act)` says the times between frames while something goes on, and the processor's time a frame, which says more on a busy
 * machine: of the page's thread, and of all that Chromium needs to draw.
 * @param {import('playwright-core').Page} page
 * @returns {Promise<(what: string, act: () => Promise<void>) => Promise<void>>}
 */
export async function frameCounter(page) {
  const ears = await page.context().newCDPSession(page)
  const browser = page.context().browser()
  if (!browser) throw new Error('the page is of no browser')
  const ofBrowser = await browser.newBrowserCDPSession()
  await ears.send('Performance.enable', { timeDomain: 'threadTicks' })

  /** Seconds of the processor since the beginning, by what for. */
  const used = async () => {
    const { metrics } = await ears.send('Performance.getMetrics')
    const { processInfo } = await ofBrowser.send('SystemInfo.getProcessInfo')
    const times = new Map(metrics.map(({ name, value }) => [name, value]))
    return {
      page: times.get('TaskDuration') ?? 0,
      script: times.get('ScriptDuration') ?? 0,
      style: times.get('RecalcStyleDuration') ?? 0,
      layout: times.get('LayoutDuration') ?? 0,
      all: processInfo.reduce((sum, { cpuTime }) => sum + cpuTime, 0),
    }
  }

  return async (what, act) => {
    await page.evaluate(startCounting)
    const before = await used()
    await act()
    const after = await used()
    /** @type {number[]} */
    const times = await page.evaluate(stopCounting)
    const gaps = times.slice(1).map((at, i) => at - (times[i] ?? at))
    gaps.sort((a, b) => a - b)
    const at = (/** @type {number} */ q) =>
      (gaps[Math.min(gaps.length - 1, Math.floor(q * gaps.length))] ?? 0).toFixed(1)
    const each = (/** @type {keyof typeof before} */ name) =>
      `${name} ${(((after[name] - before[name]) * 1000) / Math.max(1, gaps.length)).toFixed(1)}`
    console.log(
      `${what}: ${gaps.length} frames, p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${at(1)} ms; ` +
        `processor's ms a frame: ${each('page')} (${each('script')}, ${each('style')}, ${each('layout')}), ${each('all')}`,
    )
  }
}
