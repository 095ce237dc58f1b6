import assert from 'node:assert/strict'
import { eventually } from '../harness/process.mjs'
import { task } from '../harness/task.mjs'

const ref = { namespace: 'default', kind: 'Silence', name: 'try-a-silence' }

task(
  'write a new document by keyboard, release it, compare it, and roll it back in two clicks',
  async ({ world, admin, afterwards }) => {
    const { server } = await world()
    const head = async () => (await server.call('ReleaseService/History', { ref })).document
    afterwards(() => server.call('ReleaseService/Delete', { ref }))
    const me = await admin()
    const { page } = me
    // What is not there yet is an answer, and so is what is wrong with a text.
    me.tolerated.push(/status of 404.*ReleaseService\/History/, /status of 400.*ReleaseService\/Validate/)
    // Chromium joins lines of an editable element by a span with a style of its own, which the policy refuses; the editor draws the line anew in any case.
    me.tolerated.push(/Applying inline style violates/, /policy: style-src-attr inline/)
    await me.go('/default/documents')
    await page.getByRole('button', { name: 'New document' }).click()
    const dialog = page.getByRole('dialog', { name: 'New document in default' })
    await dialog.getByRole('combobox', { name: 'Kind' }).fill('Silence')
    await dialog.getByRole('textbox', { name: 'Name' }).fill(ref.name)
    await page.keyboard.press('Enter')

    // The editor offers what its schema knows, and says what is wrong at the line.
    const editor = page.getByRole('textbox', { name: `Text of ${ref.name}` })
    await editor.waitFor()
    const wrong = page.getByRole('status', { name: 'What is wrong' })
    await wrong.getByText('"matchers" is missing').waitFor()
    await editor.focus()
    await page.keyboard.type('mat')
    await page.getByRole('option', { name: /matchers/ }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('option', { name: /matchers/ }).waitFor({ state: 'detached' })
    await page.keyboard.press('ControlOrMeta+a')
    await page.keyboard.insertText('matchers: [\'alertname="nothing"\']\nendsAt: tomorrow\n')
    await wrong.getByRole('button', { name: /^line 2/ }).click()
    assert.ok(await editor.evaluate((one) => one.contains(document.activeElement)), 'its line is gone to')

    // Ctrl-S does what the button does: nothing while it is wrong. Tab leaves the text.
    await page.keyboard.press('ControlOrMeta+s')
    assert.equal(await page.getByRole('dialog').count(), 0)
    await page.keyboard.press('Tab')
    assert.ok(!(await editor.evaluate((one) => one.contains(document.activeElement))), 'Tab leaves the text')
    const write = async (/** @type {string} */ comment) => {
      await editor.focus()
      await page.keyboard.press('ControlOrMeta+a')
      await page.keyboard.insertText(
        `matchers: ['alertname="nothing"']\nstartsAt: 2026-01-01T00:00:00Z\nendsAt: 2026-01-02T00:00:00Z\ncomment: ${comment}\n`,
      )
      await wrong.getByText('valid', { exact: true }).waitFor()
      await page.keyboard.press('ControlOrMeta+s')
      const publish = page.getByRole('dialog', { name: `Publish ${ref.name}` })
      await publish.getByText(`comment: ${comment}`).first().waitFor()
      await publish.getByRole('button', { name: 'Publish', exact: true }).click()
    }
    await write('first')

    // A draft. To everybody, with what it holds shown before.
    const all = page.getByRole('button', { name: 'Release to all…' })
    await all.waitFor()
    assert.equal((await head()).releasedVersion, undefined, 'a draft is not in force')
    await page.getByRole('region', { name: 'What version 1 holds' }).getByText('comment: first').waitFor()
    await all.click()
    const question = page.getByRole('dialog', { name: `Release ${ref.name} to all` })
    await question.getByText(`gantry release Silence ${ref.name} -n default --version 1`).waitFor()
    await question.getByRole('button', { name: 'Release version 1 to all' }).click()
    await eventually('version 1 is in force', async () => (await head()).releasedVersion === '1')

    // A second version, written while another client publishes one: it is told, and not overwritten.
    await page.getByRole('tab', { name: 'Content' }).click()
    await page.getByRole('button', { name: 'Edit' }).click()
    await editor.waitFor()
    await server.publish(
      'Silence',
      ref.name,
      `matchers: ['alertname="nothing"']\nstartsAt: 2026-01-01T00:00:00Z\nendsAt: 2026-01-02T00:00:00Z\ncomment: theirs\n`,
    )
    await page.getByRole('alert').getByText('user:admin published version 2 meanwhile').waitFor()
    await page.getByRole('button', { name: 'Put my change onto version 2' }).click()
    await write('mine')
    await page.getByRole('region', { name: 'Who will get it' }).waitFor()

    // Any version against any other.
    await page.getByRole('tab', { name: 'Compare' }).click()
    await page.getByRole('combobox', { name: 'From version' }).click()
    await page
      .getByRole('option', { name: /^Version 1/ })
      .or(page.getByTitle(/^Version 1 /))
      .last()
      .click()
    const difference = page.getByRole('region', { name: 'Compare versions' })
    await difference.getByText('first', { exact: false }).first().waitFor()
    await difference.getByText('mine', { exact: false }).first().waitFor()
    assert.match(page.url(), /from=1&to=3/)

    // Back in two clicks; and the history tells all of it.
    await page.getByRole('button', { name: 'Roll back to 1…' }).first().click()
    await page.getByRole('button', { name: 'Roll back to version 1' }).click()
    await eventually('version 1 is in force again', async () => (await head()).releasedVersion === '1')
    await page.getByRole('tab', { name: 'History' }).click()
    const history = page.getByRole('table', { name: 'History' })
    await history.getByText('rolled back').waitFor()
    assert.equal(await history.getByRole('row').filter({ hasText: 'published' }).count(), 3)
  },
)
