import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { pacer } from './paced'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const takes = (ms: number) => () => new Promise<void>((resolve) => setTimeout(resolve, ms))
const live = new AbortController().signal

test('who asks again takes at most a tenth of the time', async () => {
  const pace = pacer(() => Date.now())
  expect(pace.wait()).toBe(0)
  const first = pace.ask(takes(200), live)
  await vi.advanceTimersByTimeAsync(200)
  await first
  expect(pace.wait()).toBe(1800)
  const question = vi.fn(takes(10))
  const second = pace.ask(question, live)
  await vi.advanceTimersByTimeAsync(1799)
  expect(question).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(11)
  await second
  expect(question).toHaveBeenCalledOnce()
})

test('a very slow answer does not make the next one wait for ever, nor does one that failed at once', async () => {
  const pace = pacer(() => Date.now())
  const slow = pace.ask(takes(60_000), live)
  await vi.advanceTimersByTimeAsync(60_000)
  await slow
  expect(pace.wait()).toBe(30_000)
  await vi.advanceTimersByTimeAsync(30_000)
  await expect(pace.ask(() => Promise.reject(new Error('no')), live)).rejects.toThrow('no')
  expect(pace.wait()).toBe(0)
})

test('who leaves waits no longer', async () => {
  const pace = pacer(() => Date.now())
  const first = pace.ask(takes(200), live)
  await vi.advanceTimersByTimeAsync(200)
  await first
  const left = new AbortController()
  const question = vi.fn(takes(1))
  const second = pace.ask(question, left.signal)
  left.abort(new Error('left'))
  await expect(second).rejects.toThrow('left')
  expect(question).not.toHaveBeenCalled()
})
