import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

/** Debian's; another by GANTRY_CHROMIUM. */
const executable = process.env['GANTRY_CHROMIUM'] ?? '/usr/bin/chromium'

/** Why there is no browser to test with; undefined when there is one. */
export function noBrowser() {
  if (existsSync(executable)) return undefined
  const why = `there is no Chromium at ${executable}: apt-get install chromium, or name one by GANTRY_CHROMIUM`
  if (process.env['GANTRY_REQUIRE_CHROMIUM'] === '1') throw new Error(why)
  return why
}

export const launch = () =>
  chromium.launch({ executablePath: executable, args: ['--no-sandbox', '--disable-dev-shm-usage'] })

/** Answers that a page may well get, and that the browser writes to its console all the same. */
const expected = [
  // Who am I, when the session is over.
  /status of 401.*WhoAmI/,
]

/**
 * Complains of a component of the library that the sheet made with the build knows nothing of, such as one that is imported in another way than scripts/antd.mjs
 * looks for: it would stand there without any look. Runs in the page.
 */
function watchStyles() {
  /** @type {Set<string>} */
  const seen = new Set()
  const component = /^ant-[a-z]+(?=$|-)/
  let due = false
  const look = () => {
    due = false
    const rules = [...document.styleSheets]
      .flatMap((sheet) => [...sheet.cssRules])
      .filter((rule) => 'selectorText' in rule)
    if (rules.length === 0) return
    const selectors = rules.map((rule) => /** @type {CSSStyleRule} */ (rule).selectorText).join()
    for (const element of document.querySelectorAll('[class*="ant-"]'))
      for (const name of element.classList) {
        const found = component.exec(name)?.[0]
        if (!found || seen.has(found)) continue
        seen.add(found)
        if (!selectors.includes(`.${found}`)) console.error(`no styles: ${found} of ${name}`)
      }
  }
  new MutationObserver(() => {
    if (due) return
    due = true
    setTimeout(look, 250)
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['class'] })
}

/**
 * @typedef {object} Look
 * @property {'light' | 'dark'} [theme]
 * @property {'en' | 'zh'} [language]
 * @property {{ width: number, height: number }} [viewport]
 */

/** A browser's window of its own: cookies, storage, and ears for everything that should not happen. */
export class Window {
  /** @param {import('playwright-core').BrowserContext} context @param {import('playwright-core').Page} page @param {string} address */
  constructor(context, page, address) {
    this.context = context
    this.page = page
    this.address = address
    /** What should not have happened, in words. @type {string[]} */
    this.complaints = []
    /** Errors that a task provokes on purpose, such as a server that is stopped. @type {RegExp[]} */
    this.tolerated = [...expected]
  }

  /** @param {import('playwright-core').Browser} browser @param {string} address @param {Look} [look] */
  static async open(
    browser,
    address,
    { theme = 'light', language = 'en', viewport = { width: 1280, height: 800 } } = {},
  ) {
    const context = await browser.newContext({
      viewport,
      reducedMotion: 'reduce',
      locale: 'en-US',
      timezoneId: 'Asia/Shanghai',
    })
    context.setDefaultTimeout(15_000)
    context.setDefaultNavigationTimeout(20_000)
    await context.addInitScript(([theme, language]) => {
      const kept = JSON.parse(localStorage.getItem('gantry.preferences') ?? '{}')
      localStorage.setItem('gantry.preferences', JSON.stringify({ theme, language, ...kept }))
      document.addEventListener('securitypolicyviolation', (event) => {
        const { effectiveDirective, blockedURI, sourceFile, sample } = event
        console.error(`policy: ${effectiveDirective} ${blockedURI} ${sourceFile} ${sample}`)
      })
    }, /** @type {const} */ ([theme, language]))
    const window = new Window(context, await context.newPage(), address)
    await context.addInitScript(watchStyles)
    window.listen()
    return window
  }

  listen() {
    const { page } = this
    page.on('console', (message) => {
      if (message.type() === 'error') this.complain(`console: ${message.text()} ${message.location().url}`)
    })
    page.on('pageerror', (error) => this.complain(`uncaught: ${error.stack ?? error.message}`))
    page.on('dialog', (dialog) => {
      this.complain(`dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
  }

  /** @param {string} text */
  complain(text) {
    if (!this.tolerated.some((one) => one.test(text))) this.complaints.push(text)
  }

  /** Opens a place of the console by its address, and waits until it shows something. @param {string} path such as /default/services */
  async go(path) {
    await this.page.goto(`${this.address}/console${path}`)
    await this.page.getByRole('heading', { level: 1 }).first().waitFor()
  }

  /** Waits until nothing on the page says that it is loading. */
  async settled() {
    await this.page.waitForFunction(
      () =>
        document.querySelector('main h1') !== null &&
        document.querySelector('[aria-busy="true"], .ant-skeleton, .ant-spin-spinning') === null,
      undefined,
      { timeout: 20_000 },
    )
  }

  /** Signs in by the form, as a person does. @param {string} user @param {string} password @param {string} [path] */
  async signIn(user, password, path = '/default/overview') {
    await this.page.goto(`${this.address}/console${path}`)
    await this.page.getByLabel('User', { exact: true }).or(this.page.getByLabel('用户名')).fill(user)
    await this.page
      .getByLabel('Password', { exact: true })
      .or(this.page.getByLabel('密码', { exact: true }))
      .fill(password)
    await this.page.getByRole('button', { name: /^(Sign in|登\s?录)$/ }).click()
    await this.page
      .getByRole('navigation')
      .first()
      .or(this.page.getByRole('button', { name: /navigation|导航/ }))
      .first()
      .waitFor()
  }

  /** Whether the page runs what a hostile service sent it: it would have set this. @returns {Promise<unknown>} */
  pwned() {
    return this.page.evaluate(() => /** @type {any} */ (window)['__pwned'])
  }

  /** What is seen now, for whoever looks for why a task failed. @param {string} folder @param {string} name */
  async keep(folder, name) {
    mkdirSync(folder, { recursive: true })
    const path = join(folder, `${name}.png`)
    await this.page.screenshot({ path, timeout: 10_000 })
    return path
  }

  async close() {
    await this.context.close()
  }
}
