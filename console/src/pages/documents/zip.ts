// A zip file of small texts, stored as they are: what unpacks to the tree that `gantry export` writes and `gantry import` reads.

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c
})

export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

export interface Entry {
  path: string
  content: Uint8Array<ArrayBuffer>
}

/** Names and contents as UTF-8; at most 65,535 files and 4 GiB, which is more than a namespace holds. */
export function zip(entries: readonly Entry[], at: Date): Blob {
  const time = (at.getHours() << 11) | (at.getMinutes() << 5) | (at.getSeconds() >> 1)
  const date = (Math.max(0, at.getFullYear() - 1980) << 9) | ((at.getMonth() + 1) << 5) | at.getDate()
  const parts: Uint8Array<ArrayBuffer>[] = []
  const directory: Uint8Array<ArrayBuffer>[] = []
  let offset = 0
  let directorySize = 0
  for (const { path, content } of entries) {
    const name = new TextEncoder().encode(path)
    const common = [0x0800, 0, time, date]
    const sizes = [crc32(content), content.length, content.length]
    const local = record(30, [[0x04034b50, 4], [20, 2], ...words(common), ...longs(sizes), [name.length, 2], [0, 2]])
    parts.push(local, name, content)
    const central = record(46, [
      [0x02014b50, 4],
      [20, 2],
      [20, 2],
      ...words(common),
      ...longs(sizes),
      [name.length, 2],
      ...words([0, 0, 0, 0]),
      [0, 4],
      [offset, 4],
    ])
    directory.push(central, name)
    offset += local.length + name.length + content.length
    directorySize += central.length + name.length
  }
  const end = record(22, [
    [0x06054b50, 4],
    ...words([0, 0, entries.length, entries.length]),
    [directorySize, 4],
    [offset, 4],
    [0, 2],
  ])
  return new Blob([...parts, ...directory, end], { type: 'application/zip' })
}

type Field = [value: number, size: 2 | 4]
const words = (values: readonly number[]): Field[] => values.map((value) => [value, 2])
const longs = (values: readonly number[]): Field[] => values.map((value) => [value, 4])

function record(size: number, fields: readonly Field[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const [value, width] of fields) {
    if (width === 2) view.setUint16(at, value, true)
    else view.setUint32(at, value, true)
    at += width
  }
  return bytes
}

/** The file of a document in the tree: namespace/kind/name.yaml, where the name is escaped to one file name. */
export function treePath(namespace: string, kind: string, name: string): string {
  return `${namespace}/${escapeName(kind)}/${escapeName(name)}.yaml`
}

/** File systems take names of 255 bytes. */
const longest = 200

function escapeName(name: string): string {
  const escaped = [...name]
    .map((c, i) =>
      // eslint-disable-next-line no-control-regex
      (c === '.' && i === 0) || /[/\\%<>:"|?*~\u0000-\u001f\u007f]/.test(c)
        ? `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
        : c,
    )
    .join('')
  const bytes = new TextEncoder().encode(escaped)
  if (bytes.length <= longest) return escaped
  // Cut, and told apart by the checksum of the whole.
  const cut = new TextDecoder().decode(bytes.subarray(0, longest)).replace(/\ufffd$/, '')
  return `${cut}~${crc32(new TextEncoder().encode(name)).toString(16).padStart(8, '0')}`
}
