import assert from 'node:assert/strict'
import { task } from '../harness/task.mjs'

const password = 'looks at everything'
const secrets = ['hunter2-the-first', 'hunter2-the-second']
const ref = { namespace: 'default', kind: 'Config', name: 'vault.yaml' }
const place = '/default/documents/Config/vault.yaml'

/** Everything that a browser keeps or shows of a page, as one text. @param {import('playwright-core').Page} page */
const traces = (page) =>
  page.evaluate(() =>
    [
      document.documentElement.outerHTML,
      location.href,
      document.title,
      JSON.stringify({ ...localStorage }),
      JSON.stringify({ ...sessionStorage }),
      JSON.stringify(history.state),
    ].join('\n'),
  )

task(
  'a secret is seen by those who may, when they ask for it, and by nobody else',
  async ({ world, admin, window, afterwards }) => {
    const { server } = await world()
    afterwards(() => server.call('ReleaseService/Delete', { ref }))
    for (const secret of secrets)
      await server.call('ReleaseService/Publish', {
        ...{ ref, format: 'yaml', sensitive: true, release: true },
        content: Buffer.from(`password: ${secret}\n`).toString('base64'),
      })
    await server.call('AccessService/CreateUser', {
      name: 'vito',
      password,
      grants: [{ namespace: 'default', role: 'ROLE_VIEWER' }],
    })
    afterwards(() => server.call('AccessService/DeleteUser', { name: 'vito' }))

    // A viewer: that it is one, and who sees it.
    const viewer = await window()
    await viewer.signIn('vito', password, place)
    await viewer.page.getByText('Sensitive: the content is withheld from you').waitFor()
    await viewer.page.getByText('role releaser').first().waitFor()
    assert.ok(await viewer.page.getByRole('button', { name: 'Copy text' }).isDisabled())
    await viewer.go(`${place}?tab=diff`)
    await viewer.page.getByRole('button', { name: 'Show content' }).click()
    await viewer.page.getByText('Sensitive: the content is withheld from you').waitFor()
    assert.doesNotMatch(await traces(viewer.page), /hunter2/)

    // Who may release: not before they ask.
    const releaser = await admin()
    const { page } = releaser
    /** @type {string[]} */
    const bodies = []
    const addresses = /** @type {string[]} */ ([])
    page.on('request', (request) => addresses.push(request.url()))
    page.on('response', (response) => {
      if (/ReleaseService/.test(response.url()))
        void response.body().then(
          (body) => bodies.push(body.toString('latin1')),
          () => {},
        )
    })
    for (const tab of ['', '?tab=diff', '?tab=history', '?tab=release&for=all']) {
      await releaser.go(`${place}${tab}`)
      await page.getByRole('tab', { selected: true }).waitFor()
      assert.doesNotMatch(await traces(page), /hunter2/, `${tab || 'content'} shows it unasked`)
    }
    assert.ok(!bodies.some((body) => body.includes('hunter2')), 'it is not even fetched')

    await releaser.go(place)
    await page.getByRole('button', { name: 'Show content' }).click()
    const content = page.getByRole('textbox', { name: 'Content of vault.yaml, version 2' })
    await content.getByText('hunter2-the-second').waitFor()
    await page.getByRole('tab', { name: 'Compare' }).click()
    await page.getByRole('button', { name: 'Show content' }).click()
    await page.getByText('hunter2-the-first').first().waitFor()
    const kept = await page.evaluate(() =>
      [
        location.href,
        document.title,
        JSON.stringify({ ...localStorage, ...sessionStorage }),
        JSON.stringify(history.state),
      ].join(),
    )
    assert.doesNotMatch(kept, /hunter2/)
    assert.ok(!addresses.some((address) => address.includes('hunter2')), 'it is in no address')

    // What is copied reads it as the reader, and holds nothing of it.
    await releaser.context.grantPermissions(['clipboard-read', 'clipboard-write'])
    for (const words of ['Command', 'curl', 'Link to this page']) {
      await page.getByRole('button', { name: 'Copy as' }).click()
      await page.getByRole('menuitem', { name: words }).click()
      await page.getByText('Copied').last().waitFor()
      assert.doesNotMatch(await page.evaluate(() => navigator.clipboard.readText()), /hunter2/)
    }

    // Somebody else reads the page after a reload: it is sealed again.
    await page.reload()
    await page.getByRole('button', { name: 'Show content' }).waitFor()
    assert.doesNotMatch(await traces(page), /hunter2/)
  },
)
