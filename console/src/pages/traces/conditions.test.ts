import { describe, expect, it } from 'vitest'
import { command, durationWord, message, milliseconds, pair, read, request, write } from './conditions'

const full =
  'service=loan&endpoint=POST+%2Floans&min=250ms&max=2s&outcome=failed&outcome=refused&lane=blue&release=r-7&attr=order.no%3DL%3D17&attr=customer.id%3Dc-1&limit=100'

describe('conditions', () => {
  it('are the same after the query string', () => {
    const conditions = read(new URLSearchParams(full))
    expect(conditions).toMatchObject({
      service: 'loan',
      endpoint: 'POST /loans',
      outcomes: ['refused', 'failed'],
      attributes: [
        ['order.no', 'L=17'],
        ['customer.id', 'c-1'],
      ],
      limit: 100,
    })
    expect(read(write(new URLSearchParams(), conditions))).toEqual(conditions)
  })

  it('leave what else is in the query string', () => {
    const next = write(new URLSearchParams('from=-6h&service=loan&outcome=failed'), read(new URLSearchParams()))
    expect(next.toString()).toBe('from=-6h')
  })

  it('take nothing that means nothing', () => {
    const odd = read(new URLSearchParams('outcome=odd&attr=nothing&attr==x&attr=k=&limit=99999999'))
    expect(odd).toMatchObject({ outcomes: [], attributes: [], limit: 300 })
  })

  it('are a message, and the words of a command', () => {
    const conditions = read(new URLSearchParams(full))
    expect(request('prod', conditions)).toMatchObject({
      namespace: 'prod',
      attributes: { 'order.no': 'L=17', 'customer.id': 'c-1' },
      minDuration: { seconds: 0n, nanos: 250_000_000 },
      maxDuration: { seconds: 2n, nanos: 0 },
    })
    expect(message('prod', conditions, new Date(0), new Date(1000))).toMatchObject({
      minDuration: '0.25s',
      maxDuration: '2s',
    })
    expect(message('prod', read(new URLSearchParams()), new Date(0), new Date(1000))).toEqual({
      namespace: 'prod',
      limit: 300,
      within: { since: '1970-01-01T00:00:00.000Z', until: '1970-01-01T00:00:01.000Z' },
    })
    expect(command('prod', conditions, { from: '-1h', to: 'now' }).join(' ')).toBe(
      'trace find -n prod --service loan --endpoint POST /loans --lane blue --release r-7 --min 250ms --max 2s --outcome refused --outcome failed ' +
        '--attribute order.no=L=17 --attribute customer.id=c-1 --since 1h --limit 100',
    )
  })
})

it.each([
  ['250ms', 250],
  ['1.5s', 1500],
  ['2m', 120_000],
  ['300us', 0.3],
  ['40', 40],
  ['', undefined],
  ['-1s', undefined],
  ['1h', undefined],
  ['fast', undefined],
])('%s is %s ms', (text, ms) => expect(milliseconds(text)).toBe(ms))

it.each([
  [1234.5678, '1.235s'],
  [12.3456, '12.35ms'],
])('%s ms is %s', (ms, text) => expect(durationWord(ms)).toBe(text))

it.each([
  ['a=b', [['a', 'b']]],
  [' a = b=c ', [['a', 'b=c']]],
  ['a=', undefined],
  ['=b', undefined],
  ['ab', undefined],
])('pair %s', (text, expected) => expect(pair(text)).toEqual(expected))
