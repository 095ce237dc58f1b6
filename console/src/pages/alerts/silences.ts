import type { ExportResponse } from '@/api/gen/gantry/v1/release_pb'
import { listOf, readFields, textOf } from './fields'

export interface Silence {
  name: string
  version: bigint
  author: string
  matchers: string[]
  /** Undefined: always. */
  from?: Date
  until?: Date
  comment: string
  /** The content as it is written, when it is more than this page reads. */
  unread?: string
}

export type SilenceState = 'active' | 'future' | 'ended'

const date = (text: string) => {
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : new Date(at)
}

export function readSilence({ document, version }: Pick<ExportResponse, 'document' | 'version'>): Silence {
  const content = new TextDecoder().decode(version?.content)
  const fields = readFields(content, version?.format ?? '')
  const silence = {
    name: document?.ref?.name ?? '',
    version: version?.version ?? 0n,
    author: version?.author ?? '',
    matchers: listOf(fields?.['matchers']),
    from: date(textOf(fields?.['startsAt'])),
    until: date(textOf(fields?.['endsAt'])),
    comment: textOf(fields?.['comment']),
  }
  return fields && silence.until ? silence : { ...silence, unread: content }
}

export function silenceState(silence: Pick<Silence, 'from' | 'until'>, now: Date): SilenceState {
  if (silence.until && silence.until <= now) return 'ended'
  return silence.from && silence.from > now ? 'future' : 'active'
}

const order: Record<SilenceState, number> = { active: 0, future: 1, ended: 2 }

/** What is in force first, that which ends next before the others; what has ended last, the newest first. */
export function sortSilences(silences: readonly Silence[], now: Date): { silence: Silence; state: SilenceState }[] {
  return silences
    .map((silence) => ({ silence, state: silenceState(silence, now) }))
    .sort((a, b) => {
      if (a.state !== b.state) return order[a.state] - order[b.state]
      const apart = (a.silence.until?.getTime() ?? Infinity) - (b.silence.until?.getTime() ?? Infinity)
      return a.state === 'ended' ? -apart : apart
    })
}

/** A name as the command line makes it, with the rule's before it, so that a list of them can be read. */
export function silenceName(rule: string, now: Date): string {
  const digits = now.toISOString().replace(/[-:]/g, '').slice(0, 15).replace('T', '-')
  const head = rule
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 60)
  return `${head || 'silence'}-${digits}`
}

const quote = (text: string) => (/[\n\r\t\\]/.test(text) ? JSON.stringify(text) : `'${text.replaceAll("'", "''")}'`)
const moment = (at: Date) => at.toISOString().replace(/\.\d+Z$/, 'Z')

export interface Draft {
  matchers: readonly string[]
  /** Without one: always. */
  from?: Date
  until: Date
  comment: string
}

/** The document, in YAML, as people would write it. */
export const silenceContent = (draft: Draft) =>
  [
    'matchers:',
    ...draft.matchers.map((matcher) => `  - ${quote(matcher)}`),
    ...(draft.from ? [`startsAt: ${quote(moment(draft.from))}`] : []),
    `endsAt: ${quote(moment(draft.until))}`,
    `comment: ${quote(draft.comment)}`,
    '',
  ].join('\n')
