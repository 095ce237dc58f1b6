import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { task } from '../harness/task.mjs'

const namespace = 'audited'
const formula = '=HYPERLINK("http://evil.example","open")'

task('find who changed what, and hand it on as a file', async ({ world, admin }) => {
  const { server } = await world()
  await server.call('InstanceService/CreateNamespace', { namespace: { name: namespace } })
  // More than a page of the list, ten documents at a time.
  const each = 21
  await Promise.all(
    Array.from({ length: 10 }, async (_, document) => {
      for (let version = 1; version <= each; version++)
        await server.call('ReleaseService/Publish', {
          ref: { namespace, kind: 'Config', name: `a${document}.yaml` },
          ...{ format: 'yaml', content: Buffer.from(`n: ${version}\n`).toString('base64') },
          message: document === 7 && version === each ? formula : `change ${version}`,
        })
    }),
  )
  const me = await admin()
  const { page } = me
  await me.go(`/${namespace}/audit`)
  const table = page.getByRole('table', { name: 'Changes' })
  await page.getByText('200 changes shown').waitFor()
  await page.getByRole('button', { name: 'Load older' }).click()
  await page.getByText('That is all of this time.').waitFor()

  // What was before and after, from a row; and all that was done to the same thing.
  await table.getByRole('row').filter({ hasText: formula }).getByRole('cell').nth(4).click()
  const detail = page.getByRole('dialog')
  await detail.getByText(formula, { exact: true }).waitFor()
  await detail.getByRole('button', { name: /^Only .*a7\.yaml/ }).click()
  await page.getByText(`${each} changes shown`).waitFor()
  assert.equal(new URL(page.url()).searchParams.get('target'), 'Config/a7.yaml')
  assert.equal(await table.getByText('a6.yaml').count(), 0)

  const exported = async (/** @type {RegExp} */ format) => {
    await page.getByRole('button', { name: 'Export' }).click()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('menuitem', { name: format }).click(),
    ])
    return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') }
  }
  const json = await exported(/^JSON/)
  assert.match(json.name, /^gantry-audit-.*\.json$/)
  const records = JSON.parse(json.text)
  assert.equal(records.length, each)
  assert.equal(records[0].message, formula)
  assert.ok(records.every((/** @type {any} */ record) => record.target === 'Config/a7.yaml'))
  const csv = await exported(/^CSV/)
  assert.match(csv.name, /\.csv$/)
  const lines = csv.text.split('\r\n')
  assert.equal(lines.length, each + 2)
  assert.ok(csv.text.includes(`"'=HYPERLINK(""http://evil.example"",""open"")"`), 'a formula is text')
  assert.ok(!/(^|,)"?[=+@-]/m.test(csv.text), 'nothing begins as a formula does')
})
