import { expect, test } from 'vitest'
import { commandOf, readFiles, type Item } from './importing'

const file = (name: string, text: string) => new File([text], name)
const config = (name: string) =>
  `kind: Config\nmetadata:\n  name: ${name}\nspec:\n  format: yaml\n  content: |\n    a: 1\n`

test('files that were chosen, as a command', async () => {
  const { items } = await readFiles([file('b.yaml', config('b.yaml')), file('a.yaml', config('a.yaml'))], 'default')
  expect(commandOf(items, 'default', false, '')).toEqual([
    ...['apply', '-f', 'a.yaml', '-f', 'b.yaml', '-n', 'default', '--draft'],
  ])
  expect(commandOf(items, 'default', true, 'why')).toContain('--message')
})

test('a folder that was chosen, as a command', () => {
  const item = (path: string) => ({ manifest: { file: path } }) as Item
  expect(commandOf([item('deploy/a.yaml'), item('deploy/x/b.yaml')], 'prod', true, '')).toEqual([
    ...['import', 'deploy/', '-n', 'prod', ''],
  ])
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
