import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

const service = { namespace: 'default', group: 'default', service: 'loan' }

task('drain an instance, and undo that', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  const override = async () => {
    const { instances } = await server.call('InstanceService/ListInstances', { service })
    return instances.find((/** @type {any} */ one) => one.id === 'loan-1').override
  }
  afterwards(() => server.call('InstanceService/SetOverride', { service, id: 'loan-1' }))
  const me = await admin()
  const { page } = me
  await me.go('/default/services/loan?tab=instances')
  await page.getByRole('button', { name: 'Actions for loan-1' }).click()
  await page.getByRole('menuitem', { name: 'Drain…' }).click()

  // What will happen is said before.
  const question = page.getByRole('dialog', { name: 'Drain loan-1' })
  await question.getByText('3 of 4 instances take traffic afterwards; now it is 4.').waitFor()
  await question.getByText('This can be undone.').waitFor()
  await question.getByRole('textbox', { name: 'Why' }).fill('its disk is slow')
  await question.getByRole('button', { name: 'Drain', exact: true }).click()
  await page.getByText(/^loan-1 drained: \d+ of \d+ callers? acknowledged/).waitFor({ timeout: 20_000 })
  assert.equal((await override())?.status, 'STATUS_DRAINING')
  await page
    .getByRole('row', { name: /loan-1/ })
    .getByText('draining')
    .waitFor()

  await page.getByRole('button', { name: 'Undo', exact: true }).click()
  await eventually('nothing is set over it', async () => (await override())?.status === undefined)
  await page
    .getByRole('row', { name: /loan-1/ })
    .getByText('up', { exact: true })
    .waitFor()
})
