import { expect, test } from 'vitest'
import { readAll } from './paged'

test('pages are read until the last, and never without end', async () => {
  const pages = [
    { rows: [1, 2], nextPageToken: '1' },
    { rows: [3], nextPageToken: '' },
  ]
  expect(
    await readAll(
      async (token) => pages[Number(token)]!,
      (page) => page.rows,
    ),
  ).toEqual([1, 2, 3])
  let asked = 0
  await readAll(
    async () => ({ rows: [asked++], nextPageToken: 'again' }),
    (page) => page.rows,
  )
  expect(asked).toBe(20)
})
