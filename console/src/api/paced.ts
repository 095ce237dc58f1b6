/** At most so long may an answer be old because the next question waits. */
const longest = 30_000

/**
 * Lets what asks again and again take at most a tenth of the time: the next question begins when nine times as long as the last answer took have passed. What a small
 * list asks is not held up; one of thousands of rows, in a namespace where something moves all the time, is.
 */
export function pacer(now: () => number = () => performance.now()) {
  let begun = 0
  let ended = 0
  return {
    /** For how long a question that comes now has to wait. */
    wait: () => Math.max(0, Math.min(longest, 9 * (ended - begun)) - (now() - ended)),
    /** Asks, after the wait. */
    async ask<T>(question: () => Promise<T>, signal: AbortSignal): Promise<T> {
      const pause = this.wait()
      if (pause > 0) await elapsed(pause, signal)
      begun = ended = now()
      try {
        return await question()
      } finally {
        ended = now()
      }
    },
  }
}

function elapsed(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}
