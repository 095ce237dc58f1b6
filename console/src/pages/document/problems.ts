import type { ErrorMessage } from '@/api/gen/gantry/v1/release_pb'
import type { Explained } from '@/app/errors'

/** Something that is wrong, or doubtful, at a place of the text. */
export interface Problem {
  severity: 'error' | 'warning'
  message: string
  field?: string
  /** From 1; undefined when it is about the whole. */
  line?: number
  column?: number
  hint?: string
}

/** Place and field stand beside the message: they are not said twice. */
function withoutPlace(message: string, field: string | undefined): string {
  const rest = message.replace(/^line \d+(:\d+)?: /, '')
  return field && rest.startsWith(`${field}: `) ? rest.slice(field.length + 2) : rest
}

/** What a refusal says of the text: one problem or, when it names several, each. */
export function problemsOf(said: Explained): Problem[] {
  // The first of several stands in the head as well.
  const all = said.others.length > 0 && !said.line ? said.others : [said, ...said.others]
  const problems = all.map((one) => ({
    severity: 'error' as const,
    message: withoutPlace(one.message, one.field),
    field: one.field,
    line: one.line,
    column: one.column,
    hint: one.hint,
  }))
  const seen = new Set<string>()
  return problems.filter((problem) => {
    const id = `${problem.line}:${problem.column}:${problem.message}`
    return !seen.has(id) && seen.add(id)
  })
}

export const warningsOf = (warnings: readonly ErrorMessage[]): Problem[] =>
  warnings.map((warning) => ({
    severity: 'warning',
    message: withoutPlace(warning.message, warning.field),
    field: warning.field || undefined,
    line: warning.line || undefined,
    column: warning.column || undefined,
  }))

/** Where a problem is marked: from its column to the end of the word there, or its whole line. */
export function markOf(
  text: { lines: number; line: (n: number) => { from: number; to: number; text: string } },
  problem: Problem,
) {
  const line = text.line(Math.min(Math.max(problem.line ?? 1, 1), text.lines))
  if (!problem.column) {
    const indent = line.text.length - line.text.trimStart().length
    return { from: line.from + indent, to: line.to }
  }
  const start = Math.min(problem.column - 1, line.text.length)
  const word = /^[^\s,:[\]{}]+/.exec(line.text.slice(start))?.[0].length ?? 1
  return { from: line.from + start, to: Math.min(line.from + start + word, line.to) }
}
