// Conditions on labels in PromQL's words, as silences and routes have them: service="loan", severity=~"critical|warning".

export interface Matcher {
  name: string
  operator: '=' | '!=' | '=~' | '!~'
  value: string
}

const form = /^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")\s*$/

/** Reads a condition; undefined when it is none. */
export function parseMatcher(text: string): Matcher | undefined {
  const parts = form.exec(text)
  if (!parts) return undefined
  try {
    return {
      name: parts[1]!,
      operator: parts[2] as Matcher['operator'],
      // A backslash that JSON does not know, such as \d, stands for itself in what people type.
      value: JSON.parse(parts[3]!.replace(/\\(?!["\\/bfnrtu])/g, '\\\\')) as string,
    }
  } catch {
    return undefined
  }
}

/** The condition that a label has exactly this value. */
export const exactly = (name: string, value: string) => `${name}=${JSON.stringify(value)}`

function meets(matcher: Matcher, labels: Readonly<Record<string, string>>): boolean | undefined {
  const value = labels[matcher.name] ?? ''
  if (matcher.operator === '=') return value === matcher.value
  if (matcher.operator === '!=') return value !== matcher.value
  try {
    const found = new RegExp(`^(?:${matcher.value})$`, 's').test(value)
    return matcher.operator === '=~' ? found : !found
  } catch {
    // An expression that only the server's language knows.
    return undefined
  }
}

/** Whether labels meet all conditions; undefined when one of them cannot be judged here. */
export function meetsAll(texts: readonly string[], labels: Readonly<Record<string, string>>): boolean | undefined {
  let known = true
  for (const text of texts) {
    const matcher = parseMatcher(text)
    const met = matcher && meets(matcher, labels)
    if (met === false) return false
    if (met === undefined) known = false
  }
  return known ? true : undefined
}
