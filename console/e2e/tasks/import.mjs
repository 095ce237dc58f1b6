import assert from 'node:assert/strict'
import { readFileSync, writeFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { task } from '../harness/task.mjs'

const namespace = 'imports'
const manifest = (/** @type {string} */ name, /** @type {string} */ content) =>
  `kind: Config\nmetadata:\n  name: ${name}\nspec:\n  format: yaml\n  content: |\n    ${content}\n`

task('export documents, and import them with what happens shown before', async ({ world, admin, folder }) => {
  const { server } = await world()
  await server.call('InstanceService/CreateNamespace', { namespace: { name: namespace } })
  const ref = (/** @type {string} */ name) => ({ namespace, kind: 'Config', name })
  const content = async (/** @type {string} */ name) => {
    const { version } = await server.call('ReleaseService/Get', { ref: ref(name) })
    return Buffer.from(version.content, 'base64').toString()
  }
  await server.publish('Config', 'same.yaml', 'a: 1\n', namespace)
  await server.publish('Config', 'other.yaml', 'b: 1\n', namespace)
  const me = await admin()
  const { page } = me
  me.tolerated.push(/status of 404.*ReleaseService\/History/, /status of 4\d\d.*ReleaseService\/(Validate|Publish)/)
  await me.go(`/${namespace}/documents`)

  // Out: a zip of what the command writes.
  await page.getByRole('button', { name: 'Export…' }).click()
  const exporting = page.getByRole('dialog', { name: 'Export released documents' })
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    exporting.getByRole('button', { name: 'Export', exact: true }).click(),
  ])
  assert.equal(download.suggestedFilename(), `${namespace}.zip`)
  const zip = readFileSync(await download.path()).toString('latin1')
  assert.match(zip, /imports\/Config\/same\.yaml/)
  assert.match(zip, /content: \|\n {4}a: 1\n/)
  await exporting.getByText('2 documents written').waitFor()
  await exporting.getByRole('button', { name: 'Close', exact: true }).last().click()

  // In: one broken file keeps all of them out.
  const files = folder('manifests')
  mkdirSync(files, { recursive: true })
  const put = (/** @type {string} */ name, /** @type {string} */ text) => {
    const path = join(files, name)
    writeFileSync(path, text)
    return path
  }
  const good = [
    put('same.yaml', manifest('same.yaml', 'a: 1')),
    put('other.yaml', manifest('other.yaml', 'b: 2')),
    put('new.yaml', manifest('new.yaml', 'c: 3')),
  ]
  const broken = put('broken.yaml', manifest('broken.yaml', 'a: [1').replace('name:', 'named:'))
  const invalid = put('invalid.yaml', manifest('invalid.yaml', 'a: [1'))
  await page.getByRole('button', { name: 'Import…' }).click()
  const dialog = page.getByRole('dialog', { name: `Import into ${namespace}` })
  const chooser = dialog.locator('input[type=file]').first()
  const row = (/** @type {string} */ name) => dialog.getByRole('row', { name: new RegExp(`Config/${name}`) })
  const publish = dialog.getByRole('button', { name: /Publish (and release )?\d/ })
  await chooser.setInputFiles([put('notes.yml.txt', 'no manifest')])
  await dialog.getByText('None of these files is a manifest').waitFor()
  await chooser.setInputFiles([...good, broken, invalid])
  await dialog.getByText('The field metadata.named is unknown.').waitFor()
  await row('invalid.yaml').getByText('refused').waitFor()
  await dialog.getByText('2 manifests cannot be taken').waitFor()
  assert.ok(await publish.isDisabled(), 'nothing is imported before that is mended')

  // Without them: what each does is told before.
  await chooser.setInputFiles(good)
  await row('same.yaml').getByText('unchanged').waitFor()
  await row('other.yaml').getByText('new version').waitFor()
  await row('new.yaml').getByText('new', { exact: true }).waitFor()
  await dialog.getByRole('radio', { name: 'Publish and release to all' }).check()
  await dialog.getByText('gantry apply -f new.yaml -f other.yaml -f same.yaml -n imports').waitFor()
  assert.match((await publish.textContent()) ?? '', /Publish and release 2 documents/)

  // Somebody publishes after that was told: theirs stays.
  await server.publish('Config', 'other.yaml', 'b: theirs\n', namespace)
  await publish.click()
  await row('other.yaml').getByText('failed').waitFor()
  await dialog.getByText(/then one failed/).waitFor()
  assert.equal(await content('other.yaml'), 'b: theirs\n')

  // Told again, and done.
  await chooser.setInputFiles(good)
  await row('other.yaml').getByText('new version').waitFor()
  await dialog.getByRole('radio', { name: 'Publish and release to all' }).check()
  await publish.click()
  await dialog.getByText(/^\d documents? published$/).waitFor()
  assert.equal(await content('other.yaml'), 'b: 2\n')
  assert.equal(await content('new.yaml'), 'c: 3\n')
  await dialog.getByRole('button', { name: 'Close', exact: true }).last().click()
  await page
    .getByRole('row', { name: /new\.yaml/ })
    .getByText('released')
    .waitFor()
})
