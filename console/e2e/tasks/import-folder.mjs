import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { task } from '../harness/task.mjs'

const namespace = 'folders'
const manifest = (/** @type {string} */ name, /** @type {string} */ content) =>
  `kind: Config\nmetadata:\n  name: ${name}\nspec:\n  format: yaml\n  content: |\n    ${content}\n`

task('import a folder without what is refused in it', async ({ world, admin, folder }) => {
  const { server } = await world()
  await server.call('InstanceService/CreateNamespace', { namespace: { name: namespace } })
  const released = async (/** @type {string} */ name) => {
    const { document, version } = await server.call('ReleaseService/Get', {
      ref: { namespace, kind: 'Config', name },
    })
    return { version: document.releasedVersion, text: Buffer.from(version.content, 'base64').toString() }
  }
  await server.publish('Config', 'theirs.yaml', 'a: 1\n', namespace)
  const root = join(folder('folder'), 'deploy')
  mkdirSync(join(root, 'more'), { recursive: true })
  writeFileSync(join(root, 'first.yaml'), manifest('first.yaml', 'a: 1'))
  writeFileSync(join(root, 'invalid.yaml'), manifest('invalid.yaml', 'a: [1'))
  writeFileSync(join(root, 'theirs.yaml'), manifest('theirs.yaml', 'a: 2'))
  writeFileSync(join(root, 'more', 'zuletzt.yaml'), manifest('zuletzt.yaml', 'z: 1'))
  writeFileSync(join(root, 'README.md'), 'no manifest')

  const me = await admin()
  const { page } = me
  me.tolerated.push(/status of 404.*ReleaseService\/History/, /status of 4\d\d.*ReleaseService\/(Validate|Publish)/)
  await me.go(`/${namespace}/documents`)
  await page.getByRole('button', { name: 'Import…' }).click()
  const dialog = page.getByRole('dialog', { name: `Import into ${namespace}` })
  await dialog.getByLabel('Choose a folder').setInputFiles(root)
  const row = (/** @type {string} */ name) => dialog.getByRole('row', { name: new RegExp(`Config/${name}`) })
  await row('invalid.yaml').getByText('refused').waitFor()
  await row('theirs.yaml').getByText('new version').waitFor()
  assert.equal(await dialog.getByRole('row').count(), 5, 'four documents and the head')

  // All or none, unless one says that the rest is to be taken.
  const publish = dialog.getByRole('button', { name: /^Publish (and release )?\d/ })
  assert.ok(await publish.isDisabled())
  await dialog.getByRole('checkbox', { name: /Leave out what is refused/ }).check()
  await dialog.getByText('1 manifest will be left out.').waitFor()
  await dialog.getByRole('radio', { name: 'Publish and release to all' }).check()
  const command = dialog.getByText(/^gantry apply/)
  assert.match((await command.textContent()) ?? '', /first\.yaml.*zuletzt\.yaml.*--keep-going|--keep-going/)
  assert.doesNotMatch((await command.textContent()) ?? '', /invalid\.yaml/)

  // Somebody changes one of them meanwhile: theirs stays, and the others go on.
  await server.publish('Config', 'theirs.yaml', 'a: theirs\n', namespace)
  await publish.click()
  await dialog.getByText('2 documents published, 1 failed.').waitFor()
  await row('first.yaml').getByText('published').waitFor()
  await row('zuletzt.yaml').getByText('published').waitFor()
  await row('theirs.yaml').getByText('failed').waitFor()
  // Which, and why.
  assert.match((await row('invalid.yaml').textContent()) ?? '', /line \d/)
  assert.match((await row('theirs.yaml').textContent()) ?? '', /is 2, not 1/)
  await dialog.getByText('1 manifest left out').waitFor()
  assert.equal((await released('zuletzt.yaml')).version, '1')
  assert.equal((await released('theirs.yaml')).text, 'a: theirs\n')
})
