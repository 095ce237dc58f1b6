import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

// Everything that a service can say, said by one that wants to run in the operator's browser.
const script = '<script>window.__pwned="script"</script>'
const image = '<img src=x onerror="window.__pwned=1;alert(1)">'
const link = 'javascript:window.__pwned="link";alert(2)'
const svg = '"><svg/onload=window.__pwned="svg">'
const namespace = 'hostile'
const traceId = 'badbadbadbadbadbadbadbadbadbad01'

task('hostile names, attributes, configuration and events are text', async ({ world, admin }) => {
  const { server } = await world()
  await plant(server)
  const me = await admin()
  const { page } = me
  const places = {
    [`/${namespace}/overview`]: image,
    [`/${namespace}/services`]: image,
    [`/${namespace}/services/${encodeURIComponent(image)}`]: image,
    [`/${namespace}/services/${encodeURIComponent(image)}?tab=instances`]: 'evil-1',
    [`/${namespace}/services/${encodeURIComponent(image)}/instances/evil-1`]: link,
    [`/${namespace}/map`]: '',
    [`/${namespace}/map?view=table`]: image,
    [`/${namespace}/documents`]: 'evil.yaml',
    [`/${namespace}/documents/Config/evil.yaml`]: '<script>window.__pwned=', // its quotes are escaped in YAML
    [`/${namespace}/documents/Config/evil.yaml?tab=history`]: image,
    [`/${namespace}/traces`]: image,
    [`/${namespace}/traces/${traceId}`]: image,
    [`/${namespace}/events`]: image,
    [`/${namespace}/errors`]: '',
    [`/${namespace}/alerts`]: '',
    [`/${namespace}/audit`]: '',
  }
  for (const [path, text] of Object.entries(places)) {
    await me.go(path)
    await me.settled()
    if (text)
      await page
        .getByText(text)
        .first()
        .waitFor({ state: 'attached' })
        .catch((error) => assert.fail(`${path} does not show ${text} as text: ${error.message}`))
    // What can be opened on the page is opened.
    const span = page.getByRole('treeitem').first()
    if (await span.isVisible()) await span.click()
    assert.equal(
      await page.locator('main img[src="x"], main a[href^="javascript:" i], main script, main svg[onload]').count(),
      0,
      `${path} has an element that was sent`,
    )
    assert.equal(await me.pwned(), undefined, `${path} ran what was sent`)
  }

  // By the palette and the map's tooltips it comes as text too.
  await me.go(`/${namespace}/overview`)
  await page.keyboard.press('ControlOrMeta+k')
  await page.getByRole('combobox', { name: 'Go to a page, service, document or trace' }).fill('img src')
  await page.getByRole('option').getByText(image).first().waitFor()
  assert.equal(await me.pwned(), undefined)
})

/** @param {import('../harness/server.mjs').Server} server */
async function plant(server) {
  await server.call('InstanceService/CreateNamespace', {
    namespace: { name: namespace, description: `${script}${image}` },
  })
  const token = await server.serviceToken({ [namespace]: 'ROLE_SERVICE' })
  const instance = {
    ...{ id: 'evil-1', address: '127.0.0.1', port: 1, persistent: true },
    labels: { version: svg, zone: link },
    metadata: { homepage: link, note: `${script}${image}` },
  }
  const service = { namespace, service: image }
  await server.call('InstanceService/Register', { service, instance }, token)
  await server.call('ReleaseService/Publish', {
    ref: { namespace, kind: 'Config', name: 'evil.yaml' },
    ...{ format: 'yaml', message: image, release: true },
    content: Buffer.from(
      `text: ${JSON.stringify(script)}\nimage: ${JSON.stringify(image)}\nlink: ${JSON.stringify(link)}\n`,
    ).toString('base64'),
  })
  await server.call(
    'EventService/Emit',
    {
      namespace,
      events: [
        {
          topic: 'loan.granted',
          service: image,
          traceId,
          fields: { note: { text: `${script}${image}` }, link: { text: link } },
        },
      ],
    },
    token,
  )
  await spans(server, token)
  await eventually(
    'the spans are found',
    async () => (await server.call('TraceService/SearchTraces', { namespace, limit: 1 })).traces?.length > 0,
    { within: 30_000, every: 300 },
  )
}

/** @param {import('../harness/server.mjs').Server} server @param {string} token */
async function spans(server, token) {
  const now = BigInt(Date.now() - 500) * 1_000_000n
  const text = (/** @type {string} */ key, /** @type {string} */ value) => ({ key, value: { stringValue: value } })
  const span = (/** @type {string} */ id, /** @type {string} */ parent, /** @type {string} */ name) => ({
    ...{ traceId, spanId: id, ...(parent && { parentSpanId: parent }), name, kind: parent ? 3 : 2 },
    startTimeUnixNano: String(now),
    endTimeUnixNano: String(now + 200_000_000n),
    attributes: [
      text('url.full', link),
      text('http.route', svg),
      text(image, script),
      text('peer.service', svg),
      text('error.type', image),
    ],
    events: [
      {
        name: 'exception',
        timeUnixNano: String(now),
        attributes: [text('exception.message', script), text('exception.stacktrace', `${image}\n${link}`)],
      },
    ],
    status: { code: 2, message: image },
  })
  const body = {
    resourceSpans: [
      {
        resource: {
          attributes: [
            text('service.name', image),
            text('service.instance.id', 'evil-1'),
            text('service.version', svg),
          ],
        },
        scopeSpans: [
          {
            scope: { name: script },
            spans: [span('bad0000000000001', '', `GET ${image}`), span('bad0000000000002', 'bad0000000000001', link)],
          },
        ],
      },
    ],
  }
  const answer = await fetch(`http://127.0.0.1:${server.ports.otlpHttp}/v1/traces`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}`, 'gantry-namespace': namespace },
    body: JSON.stringify(body),
  })
  assert.ok(answer.ok, `spans: ${answer.status} ${await answer.text()}`)
}
