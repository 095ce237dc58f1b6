import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

const ref = { namespace: 'default', kind: 'Config', name: 'loan.yaml' }

task(
  'promote a staged release and see who applied it, abort another, and roll back from the history',
  async ({ world, admin, afterwards }) => {
    const { server } = await world()
    const head = async () => (await server.call('ReleaseService/History', { ref })).document
    const before = await head()
    const { version } = await server.call('ReleaseService/Get', { ref })
    const text = Buffer.from(version.content, 'base64').toString()
    afterwards(async () => {
      if ((await head()).releasedVersion !== before.releasedVersion || (await head()).rollout)
        await server.call('ReleaseService/Rollback', { ref, version: before.releasedVersion })
    })
    const stage = async (/** @type {string} */ comment, /** @type {number} */ percent) => {
      const content = Buffer.from(`${text}# ${comment}\n`).toString('base64')
      const published = await server.call('ReleaseService/Publish', { ref, format: 'yaml', content })
      await server.call('ReleaseService/Release', { ref, version: published.version, cohort: { percent } })
      return String(published.version)
    }
    const first = await stage('first', 50)
    const me = await admin()
    const { page } = me
    await me.go('/default/documents/Config/loan.yaml?tab=release')

    // To all: what that changes is seen before, and how far it is afterwards.
    await page.getByRole('region', { name: `Version ${first} is with 50%` }).waitFor()
    await page.getByRole('button', { name: 'Promote to all…' }).click()
    const promote = page.getByRole('dialog')
    await promote.getByText('# first').first().waitFor()
    await promote.getByRole('button', { name: /^Promote/ }).click()
    await eventually('it is in force for all', async () => {
      const now = await head()
      return now.releasedVersion === first && !now.rollout
    })
    const applied = page.getByRole('table', { name: 'Who runs what' })
    await eventually(
      'all instances that report run it',
      async () => {
        const rows = await applied.getByRole('row').allTextContents()
        return (
          rows.length > 4 && rows.slice(1).every((row) => row.startsWith('applied') && row.includes(`${first}${first}`))
        )
      },
      { within: 40_000 },
    )

    // The next one is no good, and goes back to who had it before.
    const second = await stage('second', 50)
    await page.getByRole('region', { name: `Version ${second} is with 50%` }).waitFor()
    await page.getByRole('button', { name: 'Abort…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Abort', exact: true }).click()
    await eventually('nothing is staged', async () => (await head()).rollout === undefined)
    assert.equal((await head()).releasedVersion, first, 'the others never had it')

    // Two clicks: the row of the version, and the answer to what it changes.
    await page.getByRole('tab', { name: 'History' }).click()
    const history = page.getByRole('table', { name: 'History' })
    await history.getByText('aborted').first().waitFor()
    await history.getByText('promoted').first().waitFor()
    const earlier = history
      .getByRole('row')
      .filter({ has: page.getByRole('link', { name: before.releasedVersion, exact: true }) })
    await earlier
      .getByRole('button', { name: /^Roll back/ })
      .first()
      .click()
    await page.getByRole('button', { name: `Roll back to version ${before.releasedVersion}` }).click()
    await eventually(
      'the earlier version is in force again',
      async () => (await head()).releasedVersion === before.releasedVersion,
    )
  },
)
