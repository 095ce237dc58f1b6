import { expect, test } from 'vitest'
import { formatMetadata, parseMetadata, sameSettings } from './metadata'

test('metadata is read as it is written', () => {
  const metadata = { team: 'credit', url: 'https://x/?a=b', empty: '' }
  expect(parseMetadata(formatMetadata(metadata))).toEqual({ metadata })
  expect(parseMetadata('\n a = b \n')).toEqual({ metadata: { a: 'b' } })
})

test('a line that is no pair is named', () => {
  expect(parseMetadata('a=b\nwhat')).toEqual({ line: 2 })
  expect(parseMetadata('=b')).toEqual({ line: 1 })
})

test('settings as a command and as a call', () => {
  const of = { namespace: 'default', group: 'default', service: 'loan' }
  expect(sameSettings(of, 30, { b: '2', a: '1' })).toEqual({
    command: [
      ...['service', 'configure', 'loan', '-n', 'default', '--protect-threshold', '0.3'],
      ...['--metadata', 'a=1', '--metadata', 'b=2'],
    ],
    call: {
      method: 'gantry.v1.InstanceService/ConfigureService',
      message: { service: of, settings: { protectThreshold: 0.3, metadata: { b: '2', a: '1' } } },
    },
  })
  // The command has no word for "as the server has it".
  const back = sameSettings(of, null, {})
  expect(back.command).toBeUndefined()
  expect(back.call).toMatchObject({ message: { settings: { metadata: {} } } })
  expect(sameSettings({ ...of, group: 'blue' }, 0, {}).command).toContain('--clear-metadata')
})
