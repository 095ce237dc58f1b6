import { describe, expect, it } from 'vitest'
import type { SpanAttribute } from '@/api/gen/gantry/v1/trace_pb'
import { span } from '../trace/testing'
import { candidates, keysOf, withMore } from './lookup'

const attribute = (key: string, value: SpanAttribute['value']): SpanAttribute => ({
  $typeName: 'gantry.v1.SpanAttribute',
  key,
  value,
})
const text = (key: string, value: string) => attribute(key, { case: 'text', value })

const server = span('a', 0, 10)
server.attributes = [
  text('http.route', '/loans'),
  text('order.no', 'o-1'),
  attribute('loan.amount', { case: 'integer', value: 3000n }),
]
server.resource = [text('service.name', 'loan'), text('team', 'credit')]
const client = span('b', 1, 2)
client.attributes = [
  text('order.no', 'o-1'),
  text('db.system.name', 'redis'),
  attribute('cache.hit', { case: 'boolean', value: true }),
]

describe('attributes', () => {
  const keys = keysOf([server, client])
  it('of the business come first, the most used of them before the others', () => {
    expect(keys.map(({ key }) => key)).toEqual([
      ...['order.no', 'cache.hit', 'loan.amount', 'team'],
      ...['db.system.name', 'http.route', 'service.name'],
    ])
    expect(keys[0]).toEqual({ key: 'order.no', example: 'o-1' })
  })
  it.each([
    ['o-2', ['order.no', 'team']],
    ['3000', ['order.no', 'loan.amount', 'team']],
    ['true', ['cache.hit']],
  ])('%s is looked for in %j', (value, expected) => expect(candidates(keys, value)).toEqual(expected))
  it('are not asked without bound', () => {
    const many = Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, example: 'x' }))
    expect(candidates(many, 'o-1')).toHaveLength(12)
  })
})

it('keys of the newest spans come behind those of their kind that have an example', () => {
  const known = [
    { key: 'order.no', example: 'o-1' },
    { key: 'http.route', example: '/loans' },
  ]
  const all = withMore(known, ['http.route', 'rare.flag', 'db.system.name'])
  expect(all.map(({ key }) => key)).toEqual(['order.no', 'rare.flag', 'http.route', 'db.system.name'])
  expect(candidates(all, 'o-2')).toEqual(['order.no'])
})
