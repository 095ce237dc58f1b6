import { Change, diff, presentableDiff } from '@codemirror/merge'

// Differences by whole lines. The difference by letters gives up on large texts and calls all of them changed.

const most = 0xd7ff
/** Texts from this length on are compared by lines first. */
const large = 50_000
/** Changed lines of this length at most are looked at letter by letter, too. */
const refined = 4_000
/** As many places as a difference of lines may be looked for at; texts of a mebibyte with thousands of changes stay below. */
const scanLimit = 20_000

/** Which lines of a became which of b; undefined when there are too many different lines to tell. */
export function lineChanges(a: readonly string[], b: readonly string[]): readonly Change[] | undefined {
  // Every line is a letter of an alphabet made for these two, so that differences of letters are differences of lines.
  const letters = new Map<string, string>()
  const spell = (lines: readonly string[]) =>
    lines
      .map((line) => {
        let letter = letters.get(line)
        if (!letter) letters.set(line, (letter = String.fromCharCode(letters.size + 1)))
        return letter
      })
      .join('')
  const [spelledA, spelledB] = [spell(a), spell(b)]
  if (letters.size > most) return undefined
  return diff(spelledA, spelledB, { scanLimit, timeout: 1000 })
}

/** Where lines begin, and behind the last where one more would. */
function begins(lines: readonly string[]): number[] {
  const at = [0]
  for (const line of lines) at.push(at.at(-1)! + line.length + 1)
  return at
}

/** The difference of two texts for people: by letters where they are small, by lines and within few lines by letters where they are large. */
export function textChanges(a: string, b: string): readonly Change[] {
  if (a.length + b.length < large) return presentableDiff(a, b, { scanLimit: 500 })
  const [linesA, linesB] = [a.split('\n'), b.split('\n')]
  const changed = lineChanges(linesA, linesB)
  if (!changed) return presentableDiff(a, b, { scanLimit: 500 })
  const [atA, atB] = [begins(linesA), begins(linesB)]
  return changed.flatMap((lines) => {
    // The last line has no break behind it: what comes or goes at the end takes the break before along.
    const end = lines.toA === linesA.length && lines.fromA > 0 && lines.fromB > 0 ? 1 : 0
    const [fromA, toA] = [atA[lines.fromA]! - end, Math.min(atA[lines.toA]!, a.length)]
    const [fromB, toB] = [atB[lines.fromB]! - end, Math.min(atB[lines.toB]!, b.length)]
    if (toA - fromA > refined || toB - fromB > refined) return [new Change(fromA, toA, fromB, toB)]
    return presentableDiff(a.slice(fromA, toA), b.slice(fromB, toB)).map(
      (one) => new Change(fromA + one.fromA, fromA + one.toA, fromB + one.fromB, fromB + one.toB),
    )
  })
}
