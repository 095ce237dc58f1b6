// Silences and routes are documents of a few flat fields. What is read of them here is only shown: what is too clever for this reader is shown as it is written.

export type Field = string | string[]

const simple = /^([A-Za-z][A-Za-z0-9]*):(?:\s+(.*))?$/

/** The fields of a flat document in JSON or YAML; undefined when it is more than that. */
export function readFields(content: string, format: string): Record<string, Field> | undefined {
  if (format === 'json') return fromJson(content)
  return format === 'yaml' ? fromYaml(content) : undefined
}

function fromJson(content: string): Record<string, Field> | undefined {
  try {
    const read = JSON.parse(content) as Record<string, unknown>
    return Object.fromEntries(
      Object.entries(read).map(([name, value]) => [name, Array.isArray(value) ? value.map(String) : String(value)]),
    )
  } catch {
    return undefined
  }
}

function fromYaml(content: string): Record<string, Field> | undefined {
  const fields: Record<string, Field> = {}
  let name = ''
  for (const line of content.split('\n')) {
    if (/^\s*(#|$)/.test(line) || line === '---') continue
    const item = /^\s*-\s+(.*)$/.exec(line)
    const open = fields[name]
    if (item && Array.isArray(open)) {
      const value = scalar(item[1]!)
      if (value === undefined) return undefined
      open.push(value)
      continue
    }
    const field = simple.exec(line)
    if (!field) return undefined
    name = field[1]!
    const value = field[2] ? valueOf(field[2]) : []
    if (value === undefined) return undefined
    fields[name] = value
  }
  return fields
}

function valueOf(text: string): Field | undefined {
  if (!text.startsWith('[')) return scalar(text)
  const items = text.match(/'(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^[\],\s][^[\],]*/g) ?? []
  const values = items.map(scalar)
  return values.includes(undefined) ? undefined : (values as string[])
}

function scalar(given: string): string | undefined {
  const text = given.trim()
  const single = /^'((?:[^']|'')*)'(?:\s+#.*)?$/.exec(text)
  if (single) return single[1]!.replaceAll("''", "'")
  const double = /^("(?:[^"\\]|\\.)*")(?:\s+#.*)?$/.exec(text)
  if (double) {
    try {
      return JSON.parse(double[1]!) as string
    } catch {
      return undefined
    }
  }
  // Blocks, anchors, tags, maps and quotes that go on in the next line.
  if (/^[|>&*!{'"]/.test(text)) return undefined
  return text.replace(/\s+#.*$/, '')
}

export const textOf = (field: Field | undefined) => (Array.isArray(field) ? field.join(', ') : (field ?? ''))
export const listOf = (field: Field | undefined) => (Array.isArray(field) ? field : field ? [field] : [])
