import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

const service = { namespace: 'default', group: 'default', service: 'retired' }

task('drain an instance and take it out of the list', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  const listed = async () => {
    const { instances = [] } = await server.call('InstanceService/ListInstances', { service })
    return instances.map((/** @type {any} */ one) => one.id).sort()
  }
  // Persistent ones, as of a machine that nobody switches on again: nothing else takes them away.
  for (const [id, port] of /** @type {const} */ ([
    ['retired-1', 7001],
    ['retired-2', 7002],
  ])) {
    const instance = { id, address: '10.1.2.3', port, persistent: true }
    await server.call('InstanceService/Register', { service, instance })
    afterwards(() => server.call('InstanceService/Deregister', { service, id }).catch(() => {}))
  }
  const me = await admin()
  const { page } = me
  await me.go('/default/services/retired?tab=instances')
  const row = page.getByRole('row', { name: /retired-1/ })
  await row.waitFor()
  await page.getByRole('button', { name: 'Actions for retired-1' }).click()
  await page.getByRole('menuitem', { name: 'Drain…' }).click()
  const question = page.getByRole('dialog', { name: 'Drain retired-1' })
  await question.getByText('This can be undone.').waitFor()

  // Gone is gone: that is said, in red, and wants the service's name.
  await question.getByRole('checkbox', { name: /^Remove it from the registry afterwards/ }).check()
  await question.getByText('This cannot be undone.').waitFor()
  await question.getByText(/gantry instance drain .*--deregister/).waitFor()
  const drain = question.getByRole('button', { name: 'Drain', exact: true })
  assert.ok(await drain.isDisabled())
  await question.getByRole('textbox', { name: /Type retired/ }).fill('retired')
  await drain.click()
  await page.getByText(/^retired-1 drained and removed/).waitFor({ timeout: 20_000 })
  await row.waitFor({ state: 'detached' })
  await page.getByRole('row', { name: /retired-2/ }).waitFor()
  await eventually('it is out of the registry', async () => (await listed()).join() === 'retired-2')

  // What comes again under its name takes traffic: the drain is not remembered.
  const instance = { id: 'retired-1', address: '10.1.2.3', port: 7001, persistent: true }
  await server.call('InstanceService/Register', { service, instance })
  await row.getByText('up', { exact: true }).waitFor()
})
