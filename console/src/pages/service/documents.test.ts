import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { DocumentSchema } from '@/api/gen/gantry/v1/release_pb'
import { likeliest, namedLike, stateOfReport, versionsOf } from './documents'

test('a document is named like a service when its name begins with it and goes on with something else', () => {
  for (const name of ['loan', 'loan.yaml', 'loan/limits.yaml', 'loan-dev.yml'])
    expect(namedLike(name, 'loan')).toBe(true)
  for (const name of ['loans.yaml', 'my/loan.yaml', 'fund.yaml']) expect(namedLike(name, 'loan')).toBe(false)
})

test('the likeliest are asked first', () => {
  const documents = ['a.yaml', 'shared/loan.yaml', 'loan.yaml'].map((name) =>
    create(DocumentSchema, { ref: { namespace: 'default', kind: 'Config', name } }),
  )
  expect(likeliest(documents, 'loan').map((d) => d.ref?.name)).toEqual(['loan.yaml', 'shared/loan.yaml', 'a.yaml'])
})

test('an instance runs what it should, something else, or refused it', () => {
  expect(stateOfReport({ error: '', version: 3n, wantedVersion: 3n })).toBe('right')
  expect(stateOfReport({ error: '', version: 2n, wantedVersion: 3n })).toBe('behind')
  expect(stateOfReport({ error: 'bad yaml', version: 3n, wantedVersion: 3n })).toBe('failed')
  expect(
    versionsOf([
      { error: '', version: 2n },
      { error: '', version: 3n },
      { error: '', version: 2n },
      { error: 'x', version: 3n },
    ]),
  ).toEqual([
    [2n, 2],
    [3n, 1],
  ])
})
