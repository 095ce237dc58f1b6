import { expect, test } from 'vitest'
import { readViews, withView, writeViews } from './views'

test('views are kept by page, and broken storage is none', () => {
  const kept = new Map<string, string>()
  const storage = {
    getItem: (k: string) => kept.get(k) ?? null,
    setItem: (k: string, v: string) => void kept.set(k, v),
  }
  writeViews('traces', withView([], { name: 'slow', search: '?min=1s' }), storage)
  expect(readViews('traces', storage)).toEqual([{ name: 'slow', search: '?min=1s' }])
  expect(readViews('errors', storage)).toEqual([])
  kept.set('gantry.views.traces', '{"a":')
  expect(readViews('traces', storage)).toEqual([])
  kept.set('gantry.views.traces', '[1,{"name":2},{"name":"a","search":"?b"}]')
  expect(readViews('traces', storage)).toEqual([{ name: 'a', search: '?b' }])
})

test('a name is there once', () => {
  expect(
    withView(
      [
        { name: 'a', search: '?1' },
        { name: 'b', search: '?2' },
      ],
      { name: 'b', search: '?3' },
    ),
  ).toEqual([
    { name: 'b', search: '?3' },
    { name: 'a', search: '?1' },
  ])
})
