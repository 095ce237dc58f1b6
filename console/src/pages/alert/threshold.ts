// An alert's expression is a comparison in most cases: "something > 0.05" gives nothing as long as all is well. To draw how near it is, the comparison is taken apart.

export interface Compared {
  /** What is compared. */
  expression: string
  operator: string
  threshold: number
}

const operators = ['==', '!=', '>=', '<=', '>', '<'] as const
// Operators that bind weaker than a comparison: with one of them on the top the expression is more than one comparison.
const weaker = /^(and|or|unless)\b/i
const numeral = /^\s*\(*\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*\)*\s*$/i

/** Takes a comparison with a number apart; undefined when it is something else. */
export function compared(expression: string): Compared | undefined {
  const found = topLevel(withoutComments(expression))
  if (!found) return undefined
  const number = numeral.exec(found.right)
  if (!number || !found.left.trim()) return undefined
  return { expression: found.left.trim(), operator: found.operator, threshold: Number(number[1]) }
}

const withoutComments = (text: string) =>
  text.replace(/("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)|#.*$/gm, (_, quoted: string | undefined) => quoted ?? '')

/** The only comparison outside of brackets and quotes. */
function topLevel(text: string): { left: string; operator: string; right: string } | undefined {
  let depth = 0
  let found: { at: number; operator: string } | undefined
  for (let i = 0; i < text.length; i++) {
    const letter = text[i]!
    if (letter === '"' || letter === "'" || letter === '`') {
      i = endOfQuote(text, i)
      continue
    }
    if ('([{'.includes(letter)) depth++
    if (')]}'.includes(letter)) depth--
    if (depth !== 0) continue
    if (weaker.test(text.slice(i)) && !/\w/.test(text[i - 1] ?? ' ')) return undefined
    const operator = operators.find((known) => text.startsWith(known, i))
    if (!operator) continue
    if (found) return undefined
    found = { at: i, operator }
    i += operator.length - 1
  }
  if (!found) return undefined
  return {
    left: text.slice(0, found.at),
    operator: found.operator,
    right: text.slice(found.at + found.operator.length).replace(/^\s*bool\b/, ''),
  }
}

function endOfQuote(text: string, begin: number): number {
  const quote = text[begin]
  for (let i = begin + 1; i < text.length; i++) {
    if (text[i] === '\\' && quote !== '`') i++
    else if (text[i] === quote) return i
  }
  return text.length
}
