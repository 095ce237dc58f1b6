/** The id of a trace, when that is what was typed: 16 or 32 hexadecimal digits, dashes allowed. */
export function traceId(typed: string): string | undefined {
  const digits = typed.trim().replaceAll('-', '').toLowerCase()
  return /^([0-9a-f]{16}|[0-9a-f]{32})$/.test(digits) ? digits.padStart(32, '0') : undefined
}

/** Whether what was typed is in a name, as letters in their order. */
export function matches(typed: string, name: string): boolean {
  const within = name.toLowerCase()
  let at = 0
  for (const letter of typed.toLowerCase().replaceAll(' ', '')) {
    at = within.indexOf(letter, at) + 1
    if (at === 0) return false
  }
  return true
}
