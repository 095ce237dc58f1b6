import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

// It always holds where there is traffic: what is tested is the silence.
const rule = `expr: sum by (service) (histogram_count(rate(gantry_request_duration_seconds{service="loan"}[5m]))) > 0
every: 5s
severity: critical
annotations:
  summary: "{{ $labels.service }} is called"
`

task('silence an alert', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  const at = (/** @type {string} */ kind, /** @type {string} */ name) => ({ ref: { namespace: 'default', kind, name } })
  await server.publish('Config', 'just-before.yaml', 'a: 1\n')
  afterwards(() => server.call('ReleaseService/Delete', at('Config', 'just-before.yaml')))
  await server.publish('Alert', 'loans-are-made', rule)
  afterwards(() => server.call('ReleaseService/Delete', at('Alert', 'loans-are-made')))
  const firing = async () => {
    const { rules = [] } = await server.call('AlertService/ListAlerts', { namespace: 'default' })
    return rules.find((/** @type {any} */ one) => one.name === 'loans-are-made')?.alerts?.[0]
  }
  await eventually('the alert fires', async () => (await firing())?.state === 'ALERT_STATE_FIRING', { within: 60_000 })

  const me = await admin()
  const { page } = me
  await me.go('/default/alerts')
  await page.getByText('loan is called').first().waitFor()
  // What was changed before it leads there.
  const changes = page.getByRole('list', { name: /changes? before it$/ }).first()
  const cause = changes.getByRole('link', { name: 'Config/just-before.yaml' })
  assert.equal(await cause.getAttribute('href'), '/console/default/documents/Config/just-before.yaml')
  await page.getByRole('button', { name: /^Silence loans-are-made/ }).click()
  const dialog = page.getByRole('dialog', { name: 'Silence' })
  await dialog.getByText('1 alert of now will be silent').waitFor()
  await dialog.getByRole('textbox', { name: 'Reason' }).fill('we know')
  await dialog.getByRole('button', { name: /^Silence for/ }).click()
  await page.getByText(/^Silence .+ is in force$/).waitFor()
  const { documents } = await server.call('ReleaseService/List', { namespace: 'default', kind: 'Silence' })
  assert.equal(documents.length, 1)
  afterwards(() => server.call('ReleaseService/Delete', at('Silence', documents[0].ref.name)))

  // It fires on, and is shown; nobody is told.
  await eventually('the alert is silenced', async () => (await firing())?.silencedBy?.length === 1)
  await page.getByText('silenced', { exact: true }).first().waitFor()

  // It takes longer than was thought; and then it does not.
  const { name } = documents[0].ref
  const until = async () => {
    const { version } = await server.call('ReleaseService/Get', at('Silence', name))
    const content = Buffer.from(version.content, 'base64').toString()
    return Date.parse(/^endsAt: '(.*)'$/m.exec(content)?.[1] ?? '')
  }
  const before = await until()
  await page.getByRole('tab', { name: 'Silences' }).click()
  await page.getByText('keeps back 1 alert now').waitFor()
  await page.getByRole('button', { name: `Extend silence ${name}` }).click()
  await page.getByRole('menuitem', { name: /^by 8h/ }).click()
  await page.getByText(/now lasts until/).waitFor()
  assert.equal(await until(), before + 8 * 3_600_000)
  await page.getByRole('button', { name: `End silence ${name}`, exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'End now' }).click()
  await page.getByText('Nothing is silenced').waitFor()
  await eventually('the alert is told again', async () => !(await firing())?.silencedBy?.length)
})
