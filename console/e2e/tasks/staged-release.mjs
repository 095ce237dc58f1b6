import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

const ref = { namespace: 'default', kind: 'Config', name: 'loan.yaml' }

task('change a configuration for 10% and roll it back', async ({ world, admin, afterwards }) => {
  const { server } = await world()
  const state = async () => (await server.call('ReleaseService/History', { ref })).document
  const before = await state()
  afterwards(async () => {
    if ((await state()).releasedVersion !== before.releasedVersion)
      await server.call('ReleaseService/Rollback', { ref, version: before.releasedVersion })
  })
  const me = await admin()
  const { page } = me
  // What is wrong with a text is the answer 400.
  me.tolerated.push(/status of 400.*ReleaseService\/Validate/)
  // Chromium joins lines of an editable element by a span with a style of its own, which the policy refuses; the editor draws the line anew in any case.
  me.tolerated.push(/Applying inline style violates/, /policy: style-src-attr inline/)
  await me.go('/default/documents/Config/loan.yaml')

  // Write: a nonsense is said at its line before anything is stored.
  await page.getByRole('button', { name: 'Edit' }).click()
  const editor = page.getByRole('textbox', { name: 'Text of loan.yaml' })
  await editor.click()
  const write = async (/** @type {string} */ text) => {
    await page.keyboard.press('ControlOrMeta+a')
    await page.keyboard.insertText(text)
  }
  await write('min-amount: 500\nmax-amount: -5\nrates: {a: 0.10, b: 0.16, c: 0.24}\n')
  await page.getByRole('status', { name: 'What is wrong' }).getByText('want at least 1, got -5').waitFor()
  await editor.click()
  await write(
    'min-amount: 500\nmax-amount: 20000\nmin-months: 3\nmax-months: 36\nrates: {a: 0.10, b: 0.16, c: 0.24}\ntimeout: 8s\n',
  )
  const publish = page.getByRole('button', { name: 'Publish…' })
  await eventually('what is written is valid', () => publish.isEnabled())
  await publish.click()
  const dialog = page.getByRole('dialog', { name: 'Publish loan.yaml' })
  await dialog.getByText('max-amount: 20000').first().waitFor()
  await dialog.getByRole('textbox').last().fill('a lower limit')
  await dialog.getByRole('button', { name: 'Publish', exact: true }).click()

  // Release: to 10%, with who gets it in sight before.
  const start = page.getByRole('button', { name: /^Start with/ })
  await start.waitFor()
  assert.match((await start.textContent()) ?? '', /10%/)
  await page
    .getByRole('region', { name: 'Who will get it' })
    .getByText(/\d+ of \d+ live instances/)
    .waitFor()
  await start.click()
  await page.getByRole('region', { name: /is with 10%/ }).waitFor()
  const staged = await state()
  assert.equal(staged.rollout?.cohort?.percent, 10)
  assert.equal(staged.releasedVersion, before.releasedVersion, 'the others keep what they have')

  // Back in two clicks.
  await page.getByRole('button', { name: 'Abort…' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Abort', exact: true }).click()
  await eventually('nothing is staged', async () => (await state()).rollout === undefined)

  // To everyone, and rolled back from the history of what was in force.
  await server.call('ReleaseService/Release', { ref, version: staged.rollout.version })
  await page
    .getByRole('button', { name: `Roll back to ${before.releasedVersion}…` })
    .first()
    .click()
  const question = page.getByRole('dialog', { name: 'Roll back loan.yaml' })
  await question.getByText(`Everyone gets version ${before.releasedVersion} again`).waitFor()
  await question.getByRole('button', { name: `Roll back to version ${before.releasedVersion}` }).click()
  await eventually(
    'the earlier version is in force',
    async () => (await state()).releasedVersion === before.releasedVersion,
  )
  await page.getByText(`loan.yaml is rolled back to version ${before.releasedVersion}`).waitFor()
})
