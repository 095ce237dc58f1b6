import { Code, ConnectError } from '@connectrpc/connect'
import { expect, test } from 'vitest'
import { aboutDocument, commandOf, readFiles, type Item } from './importing'

const plain = { release: false, message: '', keepGoing: false, broken: false }
const file = (name: string, text: string) => new File([text], name)
const config = (name: string) =>
  `kind: Config\nmetadata:\n  name: ${name}\nspec:\n  format: yaml\n  content: |\n    a: 1\n`

test('files that were chosen, as a command', async () => {
  const { items } = await readFiles([file('b.yaml', config('b.yaml')), file('a.yaml', config('a.yaml'))], 'default')
  expect(commandOf(items, 'default', plain)).toEqual([
    ...['apply', '-f', 'a.yaml', '-f', 'b.yaml', '-n', 'default', '--draft', ''],
  ])
  expect(commandOf(items, 'default', { ...plain, release: true, message: 'why' })).toContain('--message')
})

test('a folder that was chosen, as a command', () => {
  const item = (path: string) => ({ manifest: { file: path } }) as Item
  expect(commandOf([item('deploy/a.yaml'), item('deploy/x/b.yaml')], 'prod', { ...plain, release: true })).toEqual([
    ...['import', 'deploy/', '-n', 'prod', '', ''],
  ])
})

test('what is left out is not in the command; where a file is taken in part there is none', () => {
  const item = (file: string, verdict: Item['verdict']) => ({ manifest: { file }, verdict }) as Item
  const some = { ...plain, release: true, keepGoing: true }
  expect(commandOf([item('d/a.yaml', 'new'), item('d/b.yaml', 'invalid')], 'prod', some)).toEqual([
    ...['apply', '-f', 'd/a.yaml', '-n', 'prod', '', '--keep-going'],
  ])
  expect(commandOf([item('d/a.yaml', 'new')], 'prod', { ...some, broken: true })?.[0]).toBe('apply')
  expect(commandOf([item('d/a.yaml', 'new'), item('d/a.yaml', 'invalid')], 'prod', some)).toBeUndefined()
})

test('an error of one document is no reason to leave the others, one of the server is', () => {
  expect(aboutDocument(new ConnectError('another version', Code.Aborted))).toBe(true)
  expect(aboutDocument(new ConnectError('wrong', Code.InvalidArgument))).toBe(true)
  expect(aboutDocument(new ConnectError('no quorum', Code.Unavailable))).toBe(false)
  expect(aboutDocument(new ConnectError('not you', Code.PermissionDenied))).toBe(false)
})

test('what cannot be read is told by its file and line, and the others are read', async () => {
  const { items, errors } = await readFiles(
    [
      file('good.yaml', config('good.yaml')),
      file('twice.yaml', `# again\n${config('good.yaml')}`),
      file('broken.yaml', 'kind: Config\nmetadata: [1\n'),
      file('notes.txt', 'not a manifest'),
    ],
    'default',
  )
  expect(items.map((item) => item.manifest.ref.name)).toEqual(['good.yaml'])
  expect(errors.map((error) => [error.file, error.why])).toEqual([
    ['twice.yaml', 'twice'],
    ['broken.yaml', 'style'],
  ])
})
