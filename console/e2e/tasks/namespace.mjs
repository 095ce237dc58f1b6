import assert from 'node:assert/strict'
import { task } from '../harness/task.mjs'

const password = 'sees one alone'

task('a namespace that is not there says so, and can be made', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  afterwards(() => server.call('InstanceService/DeleteNamespace', { name: 'acceptance' }))
  const me = await admin()
  const { page } = me
  // Whatever the page asks before the line says it is answered in the same way.
  me.tolerated.push(/status of 404/)
  await me.go('/acceptance/services')
  await page.getByRole('heading', { level: 1, name: 'There is no namespace acceptance' }).waitFor()
  await page.getByText('gantry namespace create acceptance').waitFor()
  await page.getByRole('link', { name: 'default', exact: true }).waitFor()
  assert.equal(await page.getByText('No connection to the server').count(), 0, 'the line is not lost')
  // What is of no namespace is shown all the same.
  await me.go('/acceptance/cluster')
  await page.getByRole('heading', { level: 1, name: 'Cluster' }).waitFor()
  // It is not where one comes back to.
  await page.goto(`${server.address}/console/`)
  await page.waitForURL(/\/console\/default\/overview$/)

  await me.go('/acceptance/services')
  await page.getByRole('button', { name: 'Create it…' }).click()
  const question = page.getByRole('dialog', { name: 'Create the namespace acceptance' })
  await question.getByRole('button', { name: 'Create', exact: true }).click()
  await page.getByRole('heading', { level: 1, name: 'Services' }).waitFor()
  await page.getByText('No services yet').waitFor()
  await page.getByRole('status').getByText('Live', { exact: true }).waitFor()
})

task('who may not look into a namespace is told so', async ({ world, window, afterwards }) => {
  const { server } = await world()
  await server.call('InstanceService/CreateNamespace', { namespace: { name: 'closed' } })
  afterwards(() => server.call('InstanceService/DeleteNamespace', { name: 'closed' }))
  const grants = [{ namespace: 'default', role: 'ROLE_VIEWER' }]
  await server.call('AccessService/CreateUser', { name: 'otto', password, grants })
  afterwards(() => server.call('AccessService/DeleteUser', { name: 'otto' }))
  const me = await window()
  const { page } = me
  // The refusals are answers like others, and the browser writes them to the console.
  me.tolerated.push(/status of 403/)
  await me.signIn('otto', password, '/closed/services')
  await page.getByRole('heading', { level: 1, name: 'You may not look into the namespace closed' }).waitFor()
  await page.getByText('ask an administrator for the role viewer on "closed"').waitFor()
  assert.equal(await page.getByRole('button', { name: 'Create it…' }).count(), 0)
  await page.getByRole('link', { name: 'default', exact: true }).click()
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
})
