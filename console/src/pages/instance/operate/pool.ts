/** How the act on one instance goes. */
export type Outcome<T> =
  { state: 'waiting' } | { state: 'running' } | { state: 'done'; answer: T } | { state: 'failed'; error: unknown }

/** Does the same for many, some at a time; one that fails does not stop the others. When it is aborted, what has not begun is left undone. */
export async function each<Item, T>(
  items: readonly Item[],
  atOnce: number,
  run: (item: Item) => Promise<T>,
  tell: (index: number, outcome: Outcome<T>) => void,
  signal: AbortSignal,
): Promise<Outcome<T>[]> {
  const outcomes: Outcome<T>[] = items.map(() => ({ state: 'waiting' }))
  const set = (index: number, outcome: Outcome<T>) => {
    outcomes[index] = outcome
    tell(index, outcome)
  }
  let next = 0
  const worker = async () => {
    while (next < items.length && !signal.aborted) {
      const index = next++
      set(index, { state: 'running' })
      try {
        set(index, { state: 'done', answer: await run(items[index]!) })
      } catch (error) {
        set(index, { state: 'failed', error })
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker))
  return outcomes
}
