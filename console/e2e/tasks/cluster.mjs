import assert from 'node:assert/strict'
import { startCluster } from '../harness/cluster.mjs'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

task('a node is gone: see which, take it out, and see that the quorum is lost with the next', async (hand) => {
  const nodes = await startCluster(hand.folder('cluster'))
  hand.afterwards(() => Promise.all(nodes.map((node) => node.stop())))
  const [first, second, third] = nodes
  const status = () => first.call('ClusterService/Status', {})
  await eventually('all nodes are known', async () => (await status()).nodes?.length === 3)

  const me = await hand.window({}, first.address)
  const { page } = me
  await me.go('/default/cluster')
  const table = page.getByRole('table', { name: 'Nodes' })
  const row = (/** @type {string} */ name) =>
    table.getByRole('row').filter({ has: page.getByText(name, { exact: true }) })
  const head = page.getByRole('heading', { level: 1 })
  await page.getByText('3 of 3 up').waitFor()
  await page.getByText('bears the loss of 1 more node').waitFor()
  await row('n1').getByText('answers').waitFor()
  assert.equal(await table.getByText('leader', { exact: true }).count(), 1)

  third.process?.kill()
  await row('n3').getByText('missing').waitFor()
  await page.getByText('2 of 3 up').waitFor()
  await page.getByText('bears no further loss').waitFor()
  await head.getByText('needs a look').waitFor()

  await page.getByRole('button', { name: 'Remove member n3' }).click()
  const sure = page.getByRole('dialog', { name: 'Take n3 out of the cluster?' })
  const remove = sure.getByRole('button', { name: 'Remove', exact: true })
  assert.ok(await remove.isDisabled(), 'its name must be typed first')
  await sure.getByLabel('Type n3 to confirm').fill('n2')
  assert.ok(await remove.isDisabled(), 'its own name')
  await sure.getByLabel('Type n3 to confirm').fill('n3')
  await remove.click()
  await row('n3').waitFor({ state: 'detached' })
  assert.deepEqual((await status()).members.map((/** @type {any} */ member) => member.name).sort(), ['n1', 'n2'])
  await page.getByText('2 of 2 up').waitFor()

  second.process?.kill()
  await head.getByText('no quorum').waitFor()
  await page.getByText('nothing can be written until a majority of the members is back').waitFor()
  await row('n2').getByText('does not answer').waitFor()
  assert.ok(await page.getByRole('button', { name: 'Remove member n2' }).isDisabled(), 'a removal needs a quorum')
  // What can be read is shown, and the page is alive.
  await me.go('/default/services')
  await page.getByRole('status').getByText('Live', { exact: true }).waitFor()
})
