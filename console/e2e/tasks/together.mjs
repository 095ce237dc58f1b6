import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

const service = { namespace: 'default', group: 'default', service: 'loan' }

task(
  'act on several instances at once, and undo only what nobody changed since',
  async ({ world, admin, afterwards }) => {
    const { server } = await world()
    const overrides = async () => {
      const { instances } = await server.call('InstanceService/ListInstances', { service })
      return Object.fromEntries(instances.map((/** @type {any} */ one) => [one.id, one.override]))
    }
    const set = (/** @type {string} */ id, /** @type {object} */ halves = {}) =>
      server.call('InstanceService/SetOverride', { service, id, ...halves })
    for (const id of ['loan-1', 'loan-2']) afterwards(() => set(id))
    const me = await admin()
    const { page } = me
    await me.go('/default/services/loan?tab=instances')
    const row = (/** @type {string} */ id) => page.getByRole('row', { name: new RegExp(id) })
    await page.getByRole('checkbox', { name: 'Mark loan-1' }).check()
    await page.getByRole('checkbox', { name: 'Mark loan-2' }).check()
    const bar = page.getByRole('toolbar', { name: '2 instances marked' })

    // A weight for both. An empty box is no weight.
    await bar.getByRole('button', { name: 'Weight', exact: true }).click()
    const weight = page.getByRole('dialog', { name: 'Set the weight of 2 instances of loan' })
    const box = weight.getByRole('spinbutton', { name: 'Weight' })
    const apply = weight.getByRole('button', { name: 'Weight', exact: true })
    await box.fill('')
    assert.ok(await apply.isDisabled(), 'an empty box sets nothing')
    await box.fill('0')
    await weight.getByText('2 of 4 instances take traffic afterwards; now it is 4.').waitFor()
    await box.fill('2.5')
    await weight.getByText('gantry instance weight loan loan-2 2.5 -n default').waitFor()
    await apply.click()
    const undo = page.getByRole('button', { name: 'Undo', exact: true })
    // Under the pointer it stays.
    await undo.hover()
    await row('loan-2').getByText('2.5 *').waitFor()
    assert.deepEqual(
      Object.values(await overrides()).flatMap((one) => one?.weight ?? []),
      [2.5, 2.5],
    )

    // Meanwhile one is drained by another client: the page follows without a reload, and the undo leaves that alone.
    await set('loan-2', { status: 'STATUS_DRAINING', weight: 2.5 })
    await row('loan-2').getByText('draining').waitFor()
    await undo.click()
    await page.getByText('Left as they are, since something else was set or they are gone: loan-2').waitFor()
    await eventually('the other one is set back', async () => (await overrides())['loan-1'] === undefined)
    assert.equal((await overrides())['loan-2'].status, 'STATUS_DRAINING')

    // Both back by hand.
    await bar.getByRole('button', { name: 'Reset', exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Reset', exact: true }).click()
    await row('loan-2').getByText('up', { exact: true }).waitFor()
    assert.equal((await overrides())['loan-2'], undefined)
  },
)

task('an instance goes while its page is open', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  const token = await server.serviceToken({ default: 'ROLE_SERVICE' })
  const other = { ...service, service: 'leaver' }
  const instance = { id: 'leaver-1', address: '127.0.0.1', port: 1, persistent: true }
  const leave = () => server.call('InstanceService/Deregister', { service: other, id: instance.id }, token)
  await server.call('InstanceService/Register', { service: other, instance }, token)
  afterwards(() => leave().catch(() => {}))
  const me = await admin()
  const { page } = me
  // Without instances there is no such service, which is an answer.
  me.tolerated.push(/status of 404.*InstanceService\/ListInstances/)
  await me.go('/default/services/leaver/instances/leaver-1')
  const head = page.getByRole('heading', { level: 1, name: /leaver-1/ })
  await head.getByText('up', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Drain', exact: true }).waitFor()
  await leave()
  await head.getByText('This instance is not registered').waitFor()
  assert.equal(await page.getByRole('button', { name: 'Drain', exact: true }).count(), 0, 'nothing is offered to it')
  await page.getByRole('link', { name: 'leaver', exact: true }).waitFor()
})
