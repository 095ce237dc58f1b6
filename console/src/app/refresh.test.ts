import { QueryClient, QueryObserver } from '@tanstack/react-query'
import { afterEach, expect, test, vi } from 'vitest'
import { key } from '@/api/keys'
import { Refresh } from './refresh'

const client = new QueryClient()
afterEach(() => client.clear())

/** A query that somebody looks at, answered by hand. */
function looked() {
  const answers: ((value: number) => void)[] = []
  const queryFn = vi.fn(() => new Promise<number>((resolve) => answers.push(resolve)))
  const observer = new QueryObserver(client, { queryKey: key('documents', 'default', 'all'), queryFn })
  const stop = observer.subscribe(() => {})
  return { queryFn, observer, stop, answer: (value: number) => answers.shift()?.(value) }
}

test('what moves while it is asked for is asked for once more, however often it moved', async () => {
  const { queryFn, observer, stop, answer } = looked()
  const refresh = new Refresh(client, 'default')
  expect(queryFn).toHaveBeenCalledTimes(1)
  refresh.moved('documents')
  refresh.moved('documents')
  refresh.moved('documents')
  expect(queryFn).toHaveBeenCalledTimes(1)
  answer(1)
  await vi.waitFor(() => expect(queryFn).toHaveBeenCalledTimes(2))
  answer(2)
  await vi.waitFor(() => expect(observer.getCurrentResult().data).toBe(2))
  await vi.waitFor(() => expect(client.isFetching()).toBe(0))
  expect(queryFn).toHaveBeenCalledTimes(2)
  refresh.moved('documents')
  expect(queryFn).toHaveBeenCalledTimes(3)
  stop()
})

test('another namespace, another topic and a tick ask for nothing of it', () => {
  const { queryFn, stop, answer } = looked()
  answer(1)
  new Refresh(client, 'other').moved('documents')
  const refresh = new Refresh(client, 'default')
  refresh.moved('alerts')
  refresh.tick()
  expect(queryFn).toHaveBeenCalledTimes(1)
  stop()
})

test('what is no longer kept is not asked for', async () => {
  const { queryFn, stop, answer } = looked()
  new Refresh(client, 'default').moved('documents')
  stop()
  client.clear()
  answer(1)
  await Promise.resolve()
  expect(queryFn).toHaveBeenCalledTimes(1)
})
