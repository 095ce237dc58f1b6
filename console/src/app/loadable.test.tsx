import { renderToString } from 'react-dom/server'
import { Suspense } from 'react'
import { expect, test } from 'vitest'
import { loadable } from './loadable'

const page = () => Promise.resolve({ default: () => <h1>Services</h1> })
const shown = (Component: React.ComponentType) =>
  renderToString(
    <Suspense fallback="loading">
      <Component />
    </Suspense>,
  )

test('a page whose code is there needs no placeholder', async () => {
  const { Component, load } = loadable(page)
  expect(shown(Component)).toContain('loading')
  await load()
  expect(shown(Component)).toContain('Services')
  expect(shown(Component)).not.toContain('loading')
})

test('a page that could not be loaded is asked for again', async () => {
  let failures = 1
  const { load } = loadable(() => (failures-- > 0 ? Promise.reject(new Error('gone')) : page()))
  await expect(load()).rejects.toThrow('gone')
  await expect(load()).resolves.toBeDefined()
})
