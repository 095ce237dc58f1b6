import assert from 'node:assert/strict'
import { eventually, freePorts } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

const namespace = 'paging'
const many = 230

// Each fires for ever: the history has more entries than a page.
const rule = (/** @type {number} */ i) => `expr: vector(${i + 1}) > 0
every: 5s
labels: {part: "${i}"}
`

task(
  'read the history of alerts beyond one page, see that nobody is told and why telling failed',
  async ({ world, admin, afterwards }) => {
    const { server } = await world()
    await server.call('InstanceService/CreateNamespace', { namespace: { name: namespace } })
    // What fires for ever would be in the way of other tasks.
    afterwards(async () => {
      const { documents } = await server.call('ReleaseService/List', { namespace, pageSize: 1000 })
      for (const { ref } of documents) await server.call('ReleaseService/Delete', { ref })
    })
    for (let i = 0; i < many; i++) await server.publish('Alert', `crowd-${i}`, rule(i), namespace)
    const fired = async () => {
      const { entries = [], nextPageToken } = await server.call('AlertService/ListAlertHistory', {
        namespace,
        pageSize: 1000,
      })
      return { entries, nextPageToken }
    }
    await eventually('all have fired', async () => (await fired()).entries.length >= many, {
      within: 60_000,
      every: 500,
    })

    const me = await admin()
    const { page } = me
    await me.go(`/${namespace}/alerts?group=severity`)
    await page.getByText('no route: nobody is told').first().waitFor()

    await page.getByRole('tab', { name: 'History' }).click()
    const table = page.getByRole('table', { name: 'What happened' })
    await table.waitFor()
    assert.equal(await table.getAttribute('aria-rowcount'), '201', 'a page of 200, and the head')
    await page.getByRole('button', { name: 'Load older' }).click()
    await page.getByText('That is all of this time.').waitFor()
    const all = (await fired()).entries.length
    assert.equal(await table.getAttribute('aria-rowcount'), String(all + 1))

    // Now somebody is to be told, by a desk that is closed.
    const [port] = await freePorts(1)
    await server.call('ReleaseService/Publish', {
      ref: { namespace, kind: 'Receiver', name: 'desk' },
      ...{ format: 'yaml', release: true, sensitive: true },
      content: Buffer.from(`webhook:\n  url: http://127.0.0.1:${port}/alerts\n`).toString('base64'),
    })
    await server.publish(
      'NotificationRoute',
      'all',
      'receivers: [desk]\ngroupWait: 0s\ngroupInterval: 10s\n',
      namespace,
    )
    await page.getByRole('tab', { name: 'Now' }).click()
    await page.getByText('desk was not told by webhook').first().waitFor({ timeout: 60_000 })
    await page
      .getByText(/nothing listens/)
      .first()
      .waitFor()
    await page.getByText('goes to desk').first().waitFor()
    await page.getByRole('tab', { name: 'Receivers' }).click()
    await page
      .getByRole('listitem')
      .filter({ hasText: 'desk' })
      .getByText(/nothing listens/)
      .first()
      .waitFor()
  },
)
