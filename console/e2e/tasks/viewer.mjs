import assert from 'node:assert/strict'
import { Refused } from '../harness/server.mjs'
import { task } from '../harness/task.mjs'

const password = 'looks at everything'

task("sign in with a viewer's account and be refused a release", async ({ world, window, afterwards }) => {
  const { server } = await world()
  await server.call('AccessService/CreateUser', {
    name: 'vera',
    password,
    grants: [{ namespace: 'default', role: 'ROLE_VIEWER' }],
  })
  afterwards(() => server.call('AccessService/DeleteUser', { name: 'vera' }))
  const me = await window()
  const { page } = me
  await me.signIn('vera', password, '/default/documents/Config/loan.yaml?tab=release&for=all')

  // She sees what is in force, and why she may not change it.
  const release = page.getByRole('button', { name: 'Release to all…' })
  await release.waitFor()
  assert.ok(await release.isDisabled(), 'the button is disabled')
  await page.getByText('This needs the role releaser in this namespace').first().waitFor()
  assert.ok(
    await page
      .getByRole('button', { name: /Roll back/ })
      .first()
      .isDisabled(),
  )

  // A page can be got around; the server cannot.
  const body = { ref: { namespace: 'default', kind: 'Config', name: 'loan.yaml' }, version: '1' }
  const answer = await page.evaluate(async (body) => {
    const headers = { 'Content-Type': 'application/json' }
    const answer = await fetch('/gantry.v1.ReleaseService/Release', {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    })
    return answer.status
  }, body)
  me.complaints = me.complaints.filter((text) => !/status of 403 .*ReleaseService\/Release/.test(text))
  assert.equal(answer, 403)
  const { token } = await server.call('AccessService/Login', { user: 'vera', password })
  await assert.rejects(
    server.call('ReleaseService/Release', body, token),
    (error) => error instanceof Refused && error.status === 403,
  )
})
