import { describe, expect, it } from 'vitest'
import { EventOutcome, type BusinessEvent, type QueryEventsResponse } from '@/api/gen/gantry/v1/event_pb'
import { command, countQuery, fieldsOf, message, offers, read, request, write } from './conditions'
import { stateOfEvent } from './fields'
import { follow, kept, type Tail } from './tail'

const full = 'topic=loan.*&service=loan&outcome=refused&field=grade%3DA&field=order%3Do%3D1&trace=ab&limit=1000'

describe('conditions', () => {
  it('are the same after the query string', () => {
    const conditions = read(new URLSearchParams(full))
    expect(conditions.fields).toEqual([
      ['grade', 'A'],
      ['order', 'o=1'],
    ])
    expect(read(write(new URLSearchParams('from=-6h'), conditions))).toEqual(conditions)
  })
  it('are a message, and the words of a command', () => {
    const conditions = read(new URLSearchParams(full))
    expect(request('prod', conditions)).toMatchObject({
      outcomes: [EventOutcome.REFUSED],
      traceId: 'ab',
      fields: { grade: 'A' },
    })
    expect(message('prod', conditions)).toMatchObject({ outcomes: ['EVENT_OUTCOME_REFUSED'], fields: { order: 'o=1' } })
    expect(message('prod', read(new URLSearchParams()))).toEqual({ namespace: 'prod', limit: 200 })
    expect(command('prod', conditions, { from: '-1h', to: 'now' }, false).join(' ')).toBe(
      'event list loan.* -n prod --service loan --trace ab --outcome refused --field grade=A --field order=o=1 --since 1h --limit 1000',
    )
    expect(
      command('prod', read(new URLSearchParams()), { from: '-1h', to: 'now' }, true).filter(Boolean).join(' '),
    ).toBe('event tail -n prod')
  })
})

it.each([
  ['', 'sum by (outcome) (increase(gantry_business_events_total{}[60s]))'],
  ['topic=*', 'sum by (outcome) (increase(gantry_business_events_total{}[60s]))'],
  ['topic=loan.granted', 'sum by (outcome) (increase(gantry_business_events_total{topic="loan.granted"}[60s]))'],
  ['topic=loan.*', 'sum by (outcome) (increase(gantry_business_events_total{topic=~"loan\\\\..*"}[60s]))'],
  [
    'service=a"b&outcome=failed&outcome=refused',
    'sum by (outcome) (increase(gantry_business_events_total{service="a\\"b",outcome=~"refused|failed"}[60s]))',
  ],
])('counts of %s', (search, query) => expect(countQuery(read(new URLSearchParams(search)), 60)).toBe(query))

describe('topics', () => {
  const topics: { name: string; fields: Record<string, string> }[] = [
    { name: 'loan.granted', fields: { order: 'string', amount: 'int' } },
    { name: 'loan.refused', fields: { reason: 'string' } },
    { name: 'paid', fields: { bank: 'string' } },
  ]
  it('are offered with the beginnings that they share', () =>
    expect(offers(topics)).toEqual(['loan.*', 'loan.granted', 'loan.refused', 'paid']))
  it.each([
    ['', ['amount', 'bank', 'order', 'reason']],
    ['loan.*', ['amount', 'order', 'reason']],
    ['paid', ['bank']],
    ['other', []],
  ])('fields of %s', (topic, names) => expect([...fieldsOf(topics, topic).keys()]).toEqual(names))
})

describe('follow', () => {
  const event = (id: number) => ({ id: String(id) }) as BusinessEvent
  const answer = (ids: number[], next: number) =>
    ({ events: ids.map(event), next: next as unknown, partial: [] as string[] }) as QueryEventsResponse
  const empty: Tail = {
    events: [],
    after: 0 as unknown as Tail['after'],
    missing: [],
    partial: [],
    fresh: new Set(),
    cut: false,
  }
  it('puts the newest first, once', () => {
    const one = follow(empty, answer([1, 2], 2), [])
    const two = follow(one, answer([2, 3], 3), ['n2'])
    expect(two.events.map(({ id }) => id)).toEqual(['3', '2', '1'])
    expect([...two.fresh]).toEqual(['3'])
    expect(two).toMatchObject({ after: 3, missing: ['n2'], cut: false })
  })
  it('keeps only so many, and says so', () => {
    const full = follow(
      empty,
      answer(
        Array.from({ length: kept + 5 }, (_, i) => i),
        9,
      ),
      [],
    )
    expect(full.events).toHaveLength(kept)
    expect(full.events[0]!.id).toBe(String(kept + 4))
    expect(full.cut).toBe(true)
  })
})

it.each([
  [EventOutcome.UNSPECIFIED, 'success'],
  [EventOutcome.SUCCESS, 'success'],
  [EventOutcome.REFUSED, 'refused'],
  [EventOutcome.FAILED, 'failed'],
])('outcome %i is %s', (outcome, state) => expect(stateOfEvent({ outcome })).toBe(state))
