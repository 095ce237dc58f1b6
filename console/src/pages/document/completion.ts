// What may stand at a place of a document, by its JSON Schemas. Text in, words out: the editor turns them into its completions.

export type Schema = Record<string, unknown>

/** A place inside a document: names of fields and, in lists, numbers. */
export type Path = (string | number)[]

export interface Word {
  label: string
  /** What the editor puts in. */
  apply: string
  detail: string
  info?: string
}

const object = (value: unknown): Schema | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Schema) : undefined

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

/** Follows a reference inside of the schema. */
function pointed(root: Schema, reference: string): Schema | undefined {
  if (!reference.startsWith('#')) return undefined
  let at: unknown = root
  for (const part of reference.slice(1).split('/').filter(Boolean)) {
    const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
    at = Array.isArray(at) ? at[Number(name)] : object(at)?.[name]
  }
  return object(at)
}

/** A schema and all that it is put together of. Bounded, since a reference can lead to itself. */
function parts(root: Schema, schema: Schema | undefined, depth = 0): Schema[] {
  if (!schema || depth > 8) return []
  const found: Schema[] = [schema]
  const reference = schema['$ref'] ?? schema['$dynamicRef']
  if (typeof reference === 'string') found.push(...parts(root, pointed(root, reference), depth + 1))
  for (const word of ['allOf', 'anyOf', 'oneOf'])
    for (const other of list(schema[word])) found.push(...parts(root, object(other), depth + 1))
  for (const word of ['then', 'else']) found.push(...parts(root, object(schema[word]), depth + 1))
  return found
}

function child(root: Schema, schema: Schema, step: string | number): Schema[] {
  if (typeof step === 'number') {
    const prefix = object(list(schema['prefixItems'])[step])
    const items = object(schema['items'])
    return parts(root, prefix ?? items)
  }
  const named = object(object(schema['properties'])?.[step])
  if (named) return parts(root, named)
  for (const [pattern, value] of Object.entries(object(schema['patternProperties']) ?? {})) {
    try {
      if (new RegExp(pattern, 'u').test(step)) return parts(root, object(value))
    } catch {
      // A pattern of another dialect: it says nothing here.
    }
  }
  return parts(root, object(schema['additionalProperties']))
}

/** What the schemas say of a place. */
export function schemasAt(roots: readonly Schema[], path: Path): Schema[] {
  return roots.flatMap((root) => {
    let at = parts(root, root)
    for (const step of path) at = at.flatMap((schema) => child(root, schema, step)).slice(0, 64)
    return [...new Set(at)]
  })
}

function typeOf(schemas: readonly Schema[]): string {
  const types = schemas.flatMap((schema) =>
    typeof schema['type'] === 'string' ? [schema['type']] : (list(schema['type']) as string[]),
  )
  return [...new Set(types)].join(' | ')
}

const textIn = (schemas: readonly Schema[], word: string): string | undefined =>
  schemas.map((schema) => schema[word]).find((value): value is string => typeof value === 'string')

/** A value as the format writes it. */
function written(value: unknown, format: string): string {
  if (format === 'json' || typeof value !== 'string') return JSON.stringify(value) ?? ''
  return /^[A-Za-z][\w./-]*$/.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value)
    ? value
    : JSON.stringify(value)
}

/** Fields that may still be added at a place. */
export function fieldWords(roots: readonly Schema[], path: Path, there: ReadonlySet<string>, format: string): Word[] {
  const found = new Map<string, Schema[]>()
  const required = new Set<string>()
  for (const root of roots)
    for (const schema of schemasAt([root], path)) {
      for (const name of list(schema['required'])) if (typeof name === 'string') required.add(name)
      for (const [name, value] of Object.entries(object(schema['properties']) ?? {}))
        found.set(name, [...(found.get(name) ?? []), ...parts(root, object(value))])
    }
  return [...found]
    .filter(([name]) => !there.has(name))
    .sort(([a], [b]) => Number(required.has(b)) - Number(required.has(a)) || (a < b ? -1 : 1))
    .map(([name, schemas]) => ({
      label: name,
      apply: format === 'json' ? `${JSON.stringify(name)}: ` : `${written(name, format)}:${nested(schemas) ? '' : ' '}`,
      detail: [typeOf(schemas), required.has(name) ? '*' : ''].filter(Boolean).join(' '),
      info: infoOf(schemas),
    }))
}

const nested = (schemas: readonly Schema[]) => /object|array/.test(typeOf(schemas))

function infoOf(schemas: readonly Schema[]): string | undefined {
  const bounds = (['minimum', 'maximum', 'minLength', 'maxLength', 'pattern', 'default'] as const)
    .map((word) => {
      const value = schemas.map((schema) => schema[word]).find((v) => v !== undefined)
      return value === undefined ? '' : `${word} ${JSON.stringify(value)}`
    })
    .filter(Boolean)
    .join(', ')
  const said = textIn(schemas, 'description') ?? textIn(schemas, 'title')
  return [said, bounds].filter(Boolean).join('\n') || undefined
}

/** Values that may stand at a place. */
export function valueWords(roots: readonly Schema[], path: Path, format: string): Word[] {
  const schemas = schemasAt(roots, path)
  const values: { value: unknown; detail: string }[] = []
  for (const schema of schemas) {
    for (const value of list(schema['enum'])) values.push({ value, detail: '' })
    if ('const' in schema) values.push({ value: schema['const'], detail: '' })
    if (schema['type'] === 'boolean')
      values.push({ value: true, detail: 'boolean' }, { value: false, detail: 'boolean' })
    if ('default' in schema) values.push({ value: schema['default'], detail: 'default' })
    for (const value of list(schema['examples'])) values.push({ value, detail: 'example' })
  }
  const seen = new Set<string>()
  return values.flatMap(({ value, detail }) => {
    if (typeof value === 'object' && value !== null) return []
    const text = written(value, format)
    if (seen.has(text)) return []
    seen.add(text)
    return [{ label: text, apply: text, detail }]
  })
}

export interface YamlPlace {
  /** Where the cursor is: of the mapping for a field, of the value for a value. */
  path: Path
  at: 'field' | 'value'
  /** Begin of what is typed already, in the line. */
  from: number
  /** Fields of the mapping that are there. */
  there: Set<string>
}

interface YamlLine {
  indent: number
  /** How many columns "- " takes before the field. */
  dash: number
  key?: string
  rest: string
}

function yamlLine(text: string): YamlLine | undefined {
  if (/^\s*(#|$)/.test(text) || /^(---|\.\.\.)/.test(text)) return undefined
  const indent = text.length - text.trimStart().length
  const dashes = /^(?:-\s+)+|^-$/.exec(text.trimStart())?.[0] ?? ''
  const rest = text.slice(indent + dashes.length)
  const match = /^("(?:\\.|[^"])*"|'[^']*'|[^\s"'#&*![{][^:#]*?|[^\s:]+)\s*:(?:\s+|$)(.*)$/.exec(rest)
  return { indent, dash: dashes.length, key: match ? unquoted(match[1]!) : undefined, rest: match?.[2] ?? rest }
}

const unquoted = (text: string) => (/^(".*"|'.*')$/.test(text) ? text.slice(1, -1) : text)

/**
 * Where a place of a YAML text is, by its lines' indentation: a text that is being typed is rarely valid. Block style only.
 */
export function yamlPlace(lines: readonly string[], row: number, column: number): YamlPlace | undefined {
  const before = lines[row]!.slice(0, column)
  if (/(^|\s)#/.test(before)) return undefined
  const here = yamlLine(before)
  const width = here ? here.indent + here.dash : column
  const path = parentsOf(lines, row, width, here?.dash ?? 0, here?.indent ?? column)
  if (!path) return undefined
  if (here?.key !== undefined) {
    const typed = before.length - before.trimEnd().length
    return {
      path: [...path, here.key],
      at: 'value',
      from: column - (typed > 0 && here.rest === '' ? 0 : here.rest.length),
      there: new Set(),
    }
  }
  const typed = here ? before.slice(width) : ''
  return { path, at: 'field', from: column - typed.length, there: siblings(lines, row, width) }
}

/** The path of the mapping or list item whose fields begin at a column. */
function parentsOf(
  lines: readonly string[],
  row: number,
  width: number,
  dash: number,
  indent: number,
): Path | undefined {
  const path: Path = []
  // The columns that the field and the dash of a parent must be left of: a list may stand at the same column as its key.
  let field = width
  let item = width
  const enter = (line: number, at: number) => {
    path.unshift(itemsBefore(lines, line, at))
    field = at + 1
    item = at
  }
  if (dash > 0) enter(row, indent)
  for (let i = row - 1; i >= 0 && field > 0; i--) {
    const line = yamlLine(lines[i]!)
    if (!line) {
      if (/^(---|\.\.\.)/.test(lines[i]!)) break
      continue
    }
    const column = line.indent + line.dash
    if (line.key !== undefined && column < field) {
      if (line.rest.trim() === '') {
        path.unshift(line.key)
        field = item = column
      } else if (/^[|>]/.test(line.rest)) return undefined
      else field = Math.min(field, column + 1)
    }
    if (line.dash > 0 && line.indent < item && column >= item) enter(i, line.indent)
  }
  return path
}

/** How many items of the same list stand before a row. */
function itemsBefore(lines: readonly string[], row: number, indent: number): number {
  let count = 0
  for (let i = row - 1; i >= 0; i--) {
    const line = yamlLine(lines[i]!)
    if (!line) continue
    if (line.indent < indent || (line.indent === indent && line.dash === 0)) break
    if (line.indent === indent) count++
  }
  return count
}

function siblings(lines: readonly string[], row: number, width: number): Set<string> {
  const there = new Set<string>()
  const look = (from: number, step: number) => {
    for (let i = from; i >= 0 && i < lines.length; i += step) {
      const line = yamlLine(lines[i]!)
      if (!line) {
        if (/^(---|\.\.\.)/.test(lines[i]!)) return
        continue
      }
      const field = line.indent + line.dash
      // The first field of an item below belongs to another item; that of an item above to this one, and ends it.
      if (field < width || (step > 0 && line.dash > 0 && field === width)) return
      if (field === width && line.key !== undefined) there.add(line.key)
      if (step < 0 && line.dash > 0 && field === width) return
    }
  }
  if (!(yamlLine(lines[row]!)?.dash ?? 0)) look(row - 1, -1)
  look(row + 1, 1)
  return there
}
