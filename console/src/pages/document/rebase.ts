import { lineChanges } from '@/ui/editor/lines'

// Puts a change that was made on an older version onto a newer one, line by line, as version control does.

export interface Rebased {
  text: string
  /** Places where both changed the same lines; they stand in the text between markers. */
  conflicts: number
}

interface Hunk {
  fromBase: number
  toBase: number
  lines: string[]
}

/** Where lines of b differ from those of a. */
function hunks(a: readonly string[], b: readonly string[]): Hunk[] | undefined {
  return lineChanges(a, b)?.map((change) => ({
    fromBase: change.fromA,
    toBase: change.toA,
    lines: b.slice(change.fromB, change.toB),
  }))
}

/** Undefined when the texts are too large to be told apart. */
export function rebase(
  base: string,
  mine: string,
  theirs: string,
  mineName: string,
  theirsName: string,
): Rebased | undefined {
  const lines = base.split('\n')
  const ours = hunks(lines, mine.split('\n'))
  const others = hunks(lines, theirs.split('\n'))
  if (!ours || !others) return undefined
  const out: string[] = []
  let at = 0
  let conflicts = 0
  while (ours.length > 0 || others.length > 0) {
    const group = take(ours, others)
    out.push(...lines.slice(at, group.from))
    const a = apply(lines, group.ours, group.from, group.to)
    const b = apply(lines, group.others, group.from, group.to)
    if (group.ours.length === 0 || same(a, b)) out.push(...b)
    else if (group.others.length === 0) out.push(...a)
    else {
      conflicts++
      out.push(`<<<<<<< ${mineName}`, ...a, '=======', ...b, `>>>>>>> ${theirsName}`)
    }
    at = group.to
  }
  out.push(...lines.slice(at))
  return { text: out.join('\n'), conflicts }
}

/** Takes the next hunks that touch each other. */
function take(ours: Hunk[], others: Hunk[]) {
  const first = Math.min(ours[0]?.fromBase ?? Infinity, others[0]?.fromBase ?? Infinity)
  const group = { from: first, to: first, ours: [] as Hunk[], others: [] as Hunk[] }
  for (let grown = true; grown;) {
    grown = false
    for (const [from, into] of [
      [ours, group.ours],
      [others, group.others],
    ] as const) {
      while (
        from[0] &&
        from[0].fromBase <= group.to &&
        (from[0].fromBase < group.to || group.from === from[0].fromBase)
      ) {
        const hunk = from.shift()!
        into.push(hunk)
        group.to = Math.max(group.to, hunk.toBase)
        grown = true
      }
    }
  }
  return group
}

function apply(base: readonly string[], hunks: readonly Hunk[], from: number, to: number): string[] {
  const out: string[] = []
  let at = from
  for (const hunk of hunks) {
    out.push(...base.slice(at, hunk.fromBase), ...hunk.lines)
    at = hunk.toBase
  }
  out.push(...base.slice(at, to))
  return out
}

const same = (a: readonly string[], b: readonly string[]) =>
  a.length === b.length && a.every((line, i) => line === b[i])
