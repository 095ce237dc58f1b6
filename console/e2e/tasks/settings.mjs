import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

const service = { namespace: 'default', group: 'default', service: 'fund' }

task('set what holds for a whole service, and undo it', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  const settings = async () => {
    const { services } = await server.call('InstanceService/ListServices', { namespace: 'default', search: 'fund' })
    return services.find((/** @type {any} */ one) => one.ref.service === 'fund').settings
  }
  const configure = (/** @type {object} */ settings) =>
    server.call('InstanceService/ConfigureService', { service, settings })
  afterwards(() => configure({}))
  await configure({ protectThreshold: 0.4, metadata: { owner: 'treasury' } })
  const me = await admin()
  const { page } = me
  await me.go('/default/services/fund?tab=settings')
  const threshold = page.getByRole('spinbutton', { name: 'Protect threshold' })
  const metadata = page.getByRole('textbox', { name: 'Metadata of the service' })
  const save = page.getByRole('button', { name: 'Save settings' })
  await eventually('what is set is shown', async () => (await metadata.inputValue()) === 'owner=treasury')
  assert.equal(await threshold.inputValue(), '40')
  assert.ok(await save.isDisabled(), 'there is nothing to save yet')

  // What somebody else saves is seen without a reload, as long as nothing is typed here.
  await configure({ protectThreshold: 0.4, metadata: { owner: 'bank' } })
  await eventually('it follows', async () => (await metadata.inputValue()) === 'owner=bank')

  await metadata.fill('owner=bank\nwhat is this')
  await save.click()
  await page.getByText('Line 2 is not key=value').waitFor()
  await metadata.fill('owner=bank\ntier=1')
  await threshold.fill('30')
  await save.click()
  const question = page.getByRole('dialog', { name: 'Change the settings of fund' })
  await question.getByText('Protect threshold 30%; 2 entries of metadata.').waitFor()
  await question
    .getByText(
      'gantry service configure fund -n default --protect-threshold 0.3 --metadata owner=bank --metadata tier=1',
    )
    .waitFor()
  await question.getByRole('button', { name: 'Save settings' }).click()
  const undo = page.getByRole('button', { name: 'Undo', exact: true })
  // Under the pointer it stays.
  await undo.hover()
  assert.deepEqual(await settings(), { protectThreshold: 0.3, metadata: { owner: 'bank', tier: '1' } })
  await undo.click()
  await eventually('what was set before is set again', async () => (await settings()).metadata.tier === undefined)
  assert.deepEqual(await settings(), { protectThreshold: 0.4, metadata: { owner: 'bank' } })
  await eventually('and shown', async () => (await metadata.inputValue()) === 'owner=bank')

  // The audit tells all of it.
  await me.go('/default/audit')
  const audit = page.getByRole('row').filter({ hasText: 'service.configure' }).filter({ hasText: 'fund' })
  await eventually('the audit has them', async () => (await audit.count()) >= 4)
})
