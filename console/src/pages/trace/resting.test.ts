import { describe, expect, it } from 'vitest'
import { gap, merged, rest, RestingQuery, type Changes } from './resting'

/** A clock that goes when it is told, and an address that is written as a browser does, a moment later. */
function world(address: string) {
  let now = 0
  let due: { at: number; call: () => void } | undefined
  const timer = {
    now: () => now,
    after: (milliseconds: number, call: () => void) => {
      const mine = (due = { at: now + milliseconds, call })
      return () => {
        if (due === mine) due = undefined
      }
    },
  }
  const writes: string[] = []
  const query = new RestingQuery(address, timer)
  let current = address
  const write = (changes: Changes) => void writes.push(merged(current, changes))
  const arrive = (next = writes.at(-1)!) => {
    current = next
    query.moved(next, write)
  }
  arrive(address)
  const pass = (milliseconds: number) => {
    const until = now + milliseconds
    for (let next = due; next && next.at <= until; next = due) {
      now = next.at
      due = undefined
      next.call()
    }
    now = until
  }
  return { query, writes, pass, arrive }
}

describe('a query that rests', () => {
  it('shows a change at once, and is written when nothing more comes', () => {
    const { query, writes, pass } = world('from=-1h')
    for (const span of ['a', 'b', 'c']) {
      query.put({ span })
      expect(query.shown()).toBe(`from=-1h&span=${span}`)
      pass(rest - 1)
    }
    expect(writes).toEqual([])
    pass(1)
    expect(writes).toEqual(['from=-1h&span=c'])
    expect(query.pending()).toBeUndefined()
  })

  it('is written a hundred times in half a minute at most, however slowly somebody types', () => {
    const { query, writes, pass, arrive } = world('')
    for (let i = 0, passed = 0; passed < 30_000; i++, passed += rest + 10) {
      query.put({ q: String(i) })
      pass(rest + 10)
      if (writes.length > 0) arrive()
    }
    expect(writes.length).toBeGreaterThan(10)
    expect(writes.length).toBeLessThanOrEqual(30_000 / gap)
  })

  it('stays ahead of an address that comes late', () => {
    const { query, pass, arrive } = world('')
    query.put({ span: 'a' })
    pass(rest)
    query.put({ span: 'b' })
    arrive()
    expect(query.shown()).toBe('span=b')
    pass(gap)
    arrive()
    expect(query.shown()).toBe('span=b')
  })

  it('gives way to a link and to the way back', () => {
    const { query, writes, pass, arrive } = world('span=a')
    query.put({ span: 'b' })
    arrive('span=z')
    expect(query.shown()).toBe('span=z')
    pass(1000)
    expect(writes).toEqual([])
  })

  it('writes nothing that is there already', () => {
    const { query, writes, pass } = world('span=a')
    query.put({ span: 'b' })
    query.put({ span: 'a' })
    pass(1000)
    expect(writes).toEqual([])
  })

  it('knows what the address lacks, until it is stopped', () => {
    const { query, writes, pass } = world('span=a&q=x')
    query.put({ span: 'b', q: undefined })
    expect(query.pending()).toEqual({ span: 'b', q: undefined })
    query.stop()
    pass(1000)
    expect([query.pending(), writes]).toEqual([undefined, []])
  })

  it('tells who listens, once a change', () => {
    const { query } = world('span=a')
    let told = 0
    const leave = query.subscribe(() => told++)
    query.put({ span: 'b' })
    query.put({ span: 'b' })
    leave()
    query.put({ span: 'c' })
    expect(told).toBe(1)
  })
})
