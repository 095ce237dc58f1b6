import { create } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import { expect, test } from 'vitest'
import { ErrorDetailSchema } from '@/api/gen/gantry/v1/error_pb'
import { explain, isPassing } from './errors'

test('details of the server are kept', () => {
  const detail = create(ErrorDetailSchema, {
    reason: 'document.schema',
    field: 'spec.limit',
    line: 3,
    hint: 'give a number',
    others: [{ reason: 'document.schema', message: 'name is missing', field: 'name' }],
  })
  const error = new ConnectError('limit is no number', Code.InvalidArgument, undefined, [
    { desc: ErrorDetailSchema, value: detail },
  ])
  expect(explain(error)).toMatchObject({
    code: 'invalid_argument',
    message: 'limit is no number',
    field: 'spec.limit',
    line: 3,
    hint: 'give a number',
  })
  expect(explain(error).others).toMatchObject([{ message: 'name is missing', field: 'name' }])
})

test('what may pass is told from what stays', () => {
  expect(isPassing(new ConnectError('no quorum', Code.Unavailable))).toBe(true)
  expect(isPassing(new TypeError('Failed to fetch'))).toBe(true)
  expect(isPassing(new ConnectError('no', Code.PermissionDenied))).toBe(false)
})
