import { expect, test } from 'vitest'
import { crc32, treePath, zip } from './zip'

test('the checksum of zip', () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926)
})

test('paths of the tree', () => {
  expect(treePath('default', 'Config', 'loan/limits.yaml')).toBe('default/Config/loan%2Flimits.yaml.yaml')
  expect(treePath('default', 'Config', '.hidden')).toBe('default/Config/%2Ehidden.yaml')
  expect(new TextEncoder().encode(treePath('d', 'K', '中'.repeat(300))).length).toBeLessThan(255)
})

test('a zip file: local headers, directory and its end agree', async () => {
  const files = [
    { path: 'a.yaml', content: new TextEncoder().encode('a: 1\n') },
    { path: 'b/中.yaml', content: new TextEncoder().encode('') },
  ]
  const bytes = new Uint8Array(await zip(files, new Date(2026, 10, 26, 12, 0, 0)).arrayBuffer())
  const view = new DataView(bytes.buffer)
  const end = bytes.length - 22
  expect(view.getUint32(end, true)).toBe(0x06054b50)
  expect(view.getUint16(end + 10, true)).toBe(2)
  let at = view.getUint32(end + 16, true)
  expect(at + view.getUint32(end + 12, true)).toBe(end)
  for (const file of files) {
    expect(view.getUint32(at, true)).toBe(0x02014b50)
    const nameLength = view.getUint16(at + 28, true)
    expect(new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength))).toBe(file.path)
    const local = view.getUint32(at + 42, true)
    expect(view.getUint32(local, true)).toBe(0x04034b50)
    const content = local + 30 + view.getUint16(local + 26, true)
    expect(bytes.subarray(content, content + view.getUint32(local + 22, true))).toEqual(file.content)
    expect(view.getUint32(local + 14, true)).toBe(crc32(file.content))
    at += 46 + nameLength
  }
})
