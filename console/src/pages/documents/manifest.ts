import type { Version } from '@/api/gen/gantry/v1/release_pb'
import { bytesOf, formatOfName, textOf, type Reference } from '../document/reference'

// Manifests as `gantry export` writes and `gantry apply` reads them. What is written here is read back by both. What is read is a part of YAML: fields in lines of
// their own, texts in blocks or quotes. Anything else is refused, with what to do.

/** A document as a file holds it. */
export interface Manifest {
  ref: Reference
  format: string
  sensitive: boolean
  content: Uint8Array<ArrayBuffer>
  /** Where it stands. */
  file: string
  line: number
}

type Content = Pick<Version, 'format' | 'content' | 'sensitive'>

export function formatManifest(ref: Reference, version: Content): string {
  const head = `kind: ${scalar(ref.kind)}\nmetadata:\n  namespace: ${scalar(ref.namespace)}\n  name: ${scalar(ref.name)}\n`
  const text = textOf(version.content)
  if (ref.kind === 'Config') return `${head}spec:\n${textSpec(version, text, version.sensitive)}`
  const sensitive = version.sensitive ? '  sensitive: true\n' : ''
  if (version.format === 'yaml' && text !== undefined && literal(text)) {
    const manifest = `${head}${sensitive}spec:\n${indented(text, '  ')}`
    if (readsBack(manifest, ref.namespace, text)) return manifest
  }
  return `${head}${sensitive}source:\n${textSpec(version, text, false)}`
}

/** Whether a spec can stand under its key as it is. */
function readsBack(manifest: string, namespace: string, text: string): boolean {
  try {
    const read = parseManifests('', manifest, namespace)
    return read.length === 1 && textOf(read[0]!.content) === text
  } catch {
    return false
  }
}

function textSpec(version: Content, text: string | undefined, sensitive: boolean): string {
  const head = `  format: ${scalar(version.format)}\n${sensitive ? '  sensitive: true\n' : ''}`
  if (text === undefined) return `${head}  contentBase64: ${base64(version.content)}\n`
  if (!literal(text) || text.trim() === '') return `${head}  content: ${quoted(text)}\n`
  const indent = /^[ \t\n]/.test(text) ? '2' : ''
  const chomp = !text.endsWith('\n') ? '-' : text.endsWith('\n\n') ? '+' : ''
  return `${head}  content: |${indent}${chomp}\n${indented(text, '    ')}${text.endsWith('\n') ? '' : '\n'}`
}

const indented = (text: string, by: string) => text.replace(/^(?=[^\n])/gm, by)

const unprintable = /[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]|[\u2028\u2029\ufeff]/u
const literal = (text: string) => !unprintable.test(text)

const scalar = (text: string) =>
  /^[A-Za-z][A-Za-z0-9_./-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text) ? text : quoted(text)

/** A text in double quotes: what JSON writes is YAML too. */
const quoted = (text: string) =>
  JSON.stringify(text).replace(
    /[\x7f-\x9f\u2028\u2029\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

function base64(content: Uint8Array): string {
  let text = ''
  for (let i = 0; i < content.length; i += 8192) text += String.fromCharCode(...content.subarray(i, i + 8192))
  return btoa(text)
}

const fromBase64 = (text: string) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))

/** What a file of manifests holds that cannot be read. */
export class ManifestError extends Error {
  constructor(
    readonly file: string,
    readonly line: number,
    readonly why: 'field' | 'missing' | 'style' | 'value' | 'json' | 'namespace' | 'large' | 'twice',
    readonly what: string,
  ) {
    super(`${file}:${line}: ${why} ${what}`)
  }
}

/** Reads the manifests of a file. What names no namespace belongs to the one that is looked at; what names another is refused. */
export function parseManifests(file: string, text: string, namespace: string): Manifest[] {
  const plain = text.replace(/^\ufeff/, '').replace(/\r\n/g, '\n')
  if (/\.json$/i.test(file) || /^\s*[{[]/.test(plain)) return parseJson(file, plain, namespace)
  const found: Manifest[] = []
  let first = 0
  const lines = plain.split('\n')
  const parts: { first: number; lines: string[] }[] = []
  lines.forEach((line, i) => {
    if (!/^---(\s|$)/.test(line)) return
    parts.push({ first, lines: lines.slice(first, i) })
    first = i + 1
  })
  parts.push({ first, lines: lines.slice(first) })
  for (const part of parts) {
    if (part.lines.every(isNothing)) continue
    found.push(new Reader(file, part.first, part.lines, namespace).manifest())
  }
  return found
}

const isNothing = (line: string) => /^\s*(#.*)?$/.test(line) || /^\.\.\.\s*$/.test(line)

interface Entry {
  key: string
  value: string
  /** Of the key, in the part. */
  row: number
  /** Rows below that belong to it. */
  from: number
  to: number
}

class Reader {
  constructor(
    private readonly file: string,
    private readonly first: number,
    private readonly lines: string[],
    private readonly namespace: string,
  ) {}

  private fail(row: number, why: ManifestError['why'], what: string): never {
    throw new ManifestError(this.file, this.first + row + 1, why, what)
  }

  manifest(): Manifest {
    const top = this.entries(0, this.lines.length, 0)
    const start = top[0]?.row ?? 0
    for (const entry of top)
      if (!['kind', 'metadata', 'spec', 'source'].includes(entry.key)) this.fail(entry.row, 'field', entry.key)
    const named = (entries: readonly Entry[], key: string) => entries.find((entry) => entry.key === key)
    const kind = this.text(named(top, 'kind') ?? this.fail(start, 'missing', 'kind'))
    const metadata = this.below(named(top, 'metadata') ?? this.fail(start, 'missing', 'metadata'))
    for (const entry of metadata)
      if (!['namespace', 'name', 'sensitive'].includes(entry.key))
        this.fail(entry.row, 'field', `metadata.${entry.key}`)
    const name = this.text(named(metadata, 'name') ?? this.fail(start, 'missing', 'metadata.name'))
    const own = named(metadata, 'namespace')
    const namespace = own ? this.text(own) : this.namespace
    if (namespace !== this.namespace) this.fail(own!.row, 'namespace', namespace)
    const marked = named(metadata, 'sensitive')
    const sensitive = marked ? this.bool(marked) : false
    const base = { ref: { namespace, kind, name }, file: this.file, line: this.first + start + 1 }
    const spec = named(top, 'spec')
    const source = named(top, 'source')
    if (kind === 'Config' ? !spec || source : !spec === !source) this.fail(start, 'missing', 'spec')
    if (kind === 'Config') return { ...base, ...this.content(spec!, 'spec', name) }
    if (source) {
      const content = this.content(source, 'source', name)
      return { ...base, ...content, sensitive: content.sensitive || sensitive }
    }
    if (spec!.value !== '') this.fail(spec!.row, 'style', 'spec')
    return { ...base, format: 'yaml', sensitive, content: bytesOf(this.block(spec!)) }
  }

  /** The text of format, sensitive, and content or contentBase64. */
  private content(entry: Entry, field: string, name: string): Pick<Manifest, 'format' | 'sensitive' | 'content'> {
    const entries = this.below(entry)
    let format = formatOfName(name)
    let sensitive = false
    let content: Uint8Array<ArrayBuffer> | undefined
    for (const one of entries) {
      switch (one.key) {
        case 'format':
          format = this.text(one)
          break
        case 'sensitive':
          sensitive = this.bool(one)
          break
        case 'content':
          content = bytesOf(this.text(one))
          break
        case 'contentBase64':
          try {
            content = fromBase64(this.text(one))
          } catch {
            this.fail(one.row, 'value', `${field}.contentBase64`)
          }
          break
        default:
          this.fail(one.row, 'field', `${field}.${one.key}`)
      }
    }
    return { format, sensitive, content: content ?? this.fail(entry.row, 'missing', `${field}.content`) }
  }

  /** Fields of a mapping in block style, at one column. */
  private entries(from: number, to: number, column: number): Entry[] {
    const found: Entry[] = []
    for (let row = from; row < to; row++) {
      const line = this.lines[row]!
      if (isNothing(line)) continue
      const indent = line.length - line.trimStart().length
      const match = /^(?:"((?:\\.|[^"])*)"|'([^']*)'|([^\s"'#:[\]{},&*!|>%@`-][^:#]*?))\s*:(?:\s+(.*))?$/.exec(
        line.slice(indent),
      )
      if (indent !== column || !match) this.fail(row, 'style', line.trim().slice(0, 40))
      let end = row + 1
      for (; end < to; end++) {
        const below = this.lines[end]!
        if (
          below.trim() !== '' &&
          below.length - below.trimStart().length <= column &&
          !(isNothing(below) && below.trimStart().startsWith('#'))
        ) {
          // A list may stand at the column of its key.
          if (!/^-(\s|$)/.test(below.slice(column))) break
        }
      }
      const value = (match[4] ?? '').replace(/^#.*$/, '')
      found.push({ key: match[1] ?? match[2] ?? match[3]!, value, row, from: row + 1, to: end })
      row = end - 1
    }
    return found
  }

  private below(entry: Entry): Entry[] {
    if (entry.value.trim() !== '') this.fail(entry.row, 'style', entry.key)
    const first = this.lines.slice(entry.from, entry.to).find((line) => !isNothing(line))
    if (first === undefined) this.fail(entry.row, 'missing', entry.key)
    return this.entries(entry.from, entry.to, first.length - first.trimStart().length)
  }

  private text(entry: Entry): string {
    const value = entry.value.trim()
    if (/^[|>]/.test(value)) return this.literal(entry, value)
    if (this.lines.slice(entry.from, entry.to).some((line) => !isNothing(line)))
      this.fail(entry.row, 'style', entry.key)
    const double = /^("(?:\\.|[^"\\])*")\s*(?:#.*)?$/.exec(value)
    if (double) {
      try {
        return JSON.parse(
          double[1]!
            .replace(/\\x([0-9a-f]{2})/gi, '\\u00$1')
            .replace(/\\U[0-9a-f]{8}/gi, (c) =>
              JSON.stringify(String.fromCodePoint(parseInt(c.slice(2), 16))).slice(1, -1),
            ),
        ) as string
      } catch {
        this.fail(entry.row, 'value', entry.key)
      }
    }
    const single = /^'((?:''|[^'])*)'\s*(?:#.*)?$/.exec(value)
    if (single) return single[1]!.replaceAll("''", "'")
    if (/^[[\]{},&*!%@`"']/.test(value)) this.fail(entry.row, 'style', entry.key)
    const bare = value.replace(/\s+#.*$/, '')
    if (bare === '' || /^(null|~|true|false|[+-]?[\d.][\d.e+-]*)$/i.test(bare)) this.fail(entry.row, 'value', entry.key)
    return bare
  }

  private bool(entry: Entry): boolean {
    const value = entry.value.trim().replace(/\s+#.*$/, '')
    if (value !== 'true' && value !== 'false') this.fail(entry.row, 'value', entry.key)
    return value === 'true'
  }

  private literal(entry: Entry, header: string): string {
    const match = /^\|([1-9]?)([-+]?)([1-9]?)\s*(?:#.*)?$/.exec(header)
    if (!match) this.fail(entry.row, 'style', entry.key)
    const rows = this.lines.slice(entry.from, entry.to)
    const key = this.lines[entry.row]!
    const outer = key.length - key.trimStart().length
    const given = match[1] || match[3]
    const first = rows.find((line) => line.trim() !== '')
    const indent = given ? outer + Number(given) : first ? first.length - first.trimStart().length : outer + 1
    // The part's last line break made one line too many.
    let text = rows.map((line) => (line.trim() === '' && line.length <= indent ? '' : line.slice(indent))).join('\n')
    if (entry.to < this.lines.length || !text.endsWith('\n')) text += '\n'
    const body = text.replace(/\n+$/, '')
    if (match[2] === '-') return body
    if (match[2] === '+') return text
    return body === '' ? '' : `${body}\n`
  }

  /** The lines below a key, less their indentation. */
  private block(entry: Entry): string {
    const rows = this.lines.slice(entry.from, entry.to)
    const indent = Math.min(
      ...rows.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length),
    )
    const text = rows.map((line) => line.slice(indent)).join('\n')
    return `${text.replace(/\n+$/, '')}\n`
  }
}

function parseJson(file: string, text: string, namespace: string): Manifest[] {
  let all: unknown
  try {
    all = JSON.parse(text)
  } catch (error) {
    throw new ManifestError(file, 1, 'json', error instanceof Error ? error.message : '')
  }
  return (Array.isArray(all) ? all : [all]).map((one: unknown, i) => {
    const fail = (why: ManifestError['why'], what: string): never => {
      throw new ManifestError(file, 1, why, `[${i}].${what}`)
    }
    const object = (value: unknown, what: string): Record<string, unknown> =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? (value as Record<string, unknown>)
        : fail('missing', what)
    const string = (value: unknown, what: string): string =>
      typeof value === 'string' && value !== '' ? value : fail('missing', what)
    const root = object(one, '')
    const metadata = object(root['metadata'], 'metadata')
    const kind = string(root['kind'], 'kind')
    const name = string(metadata['name'], 'metadata.name')
    const own = metadata['namespace'] ?? namespace
    if (own !== namespace) fail('namespace', String(own))
    const base = { ref: { namespace, kind, name }, file, line: 1 }
    const texts = kind === 'Config' ? root['spec'] : root['source']
    if (kind !== 'Config' && texts === undefined) {
      const spec = object(root['spec'], 'spec')
      return {
        ...base,
        format: 'yaml',
        sensitive: metadata['sensitive'] === true,
        content: bytesOf(`${JSON.stringify(spec, null, 2)}\n`),
      }
    }
    const spec = object(texts, 'spec')
    const content =
      typeof spec['content'] === 'string'
        ? bytesOf(spec['content'])
        : fromBase64(string(spec['contentBase64'], 'spec.content'))
    return {
      ...base,
      format: typeof spec['format'] === 'string' ? spec['format'] : formatOfName(name),
      sensitive: spec['sensitive'] === true || metadata['sensitive'] === true,
      content,
    }
  })
}
