import { Code, ConnectError } from '@connectrpc/connect'
import { releases } from '@/api/clients/releases'
import { ManifestError, parseManifests, type Manifest } from './manifest'

export type Verdict = 'judging' | 'new' | 'changed' | 'unreleased' | 'unchanged' | 'invalid' | 'done' | 'failed'

export interface Item {
  manifest: Manifest
  verdict: Verdict
  /** The latest version when it was judged: what is published over it must still be that. */
  expected: bigint
  error?: unknown
}

/** What a person chose for all of them. */
export interface Choice {
  message: string
  release: boolean
  keepGoing: boolean
}

/** As `gantry apply` allows for one file. */
const largest = 16 << 20
const manifestFile = /\.(ya?ml|json)$/i

/** Reads what was chosen; hidden files and those that are no manifests are left out, as the command does. */
export async function readFiles(files: readonly File[], namespace: string) {
  const items: Item[] = []
  const errors: ManifestError[] = []
  const seen = new Map<string, Manifest>()
  for (const file of files) {
    const path = file.webkitRelativePath || file.name
    if (!manifestFile.test(path) || path.split('/').some((part) => part.startsWith('.'))) continue
    try {
      if (file.size > largest) throw new ManifestError(path, 1, 'large', String(file.size))
      for (const manifest of parseManifests(path, await file.text(), namespace)) {
        const id = `${manifest.ref.kind}/${manifest.ref.name}`
        const first = seen.get(id)
        if (first) throw new ManifestError(path, manifest.line, 'twice', `${first.file}:${first.line}`)
        seen.set(id, manifest)
        items.push({ manifest, verdict: 'judging', expected: 0n })
      }
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error
      errors.push(error)
    }
  }
  return { items: inOrder(items), errors }
}

/** Schemas before the documents that they bind. */
export const inOrder = (items: readonly Item[]): Item[] =>
  [...items].sort((a, b) => Number(b.manifest.ref.kind === 'Schema') - Number(a.manifest.ref.kind === 'Schema'))

const sameBytes = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, i) => byte === b[i])

async function judgeOne({ manifest }: Item, signal: AbortSignal): Promise<Item> {
  const { ref, format, content, sensitive } = manifest
  let verdict: Verdict = 'new'
  let expected = 0n
  try {
    await releases.validate({ ref, format, content, sensitive }, { signal })
    const { document, version } = await latest(ref, signal)
    if (document && !document.deleted) {
      expected = document.latestVersion
      const same =
        version &&
        !version.withheld &&
        version.format === format &&
        version.sensitive === sensitive &&
        sameBytes(version.content, content)
      verdict = !same
        ? 'changed'
        : document.releasedVersion === document.latestVersion && !document.rollout
          ? 'unchanged'
          : 'unreleased'
    }
    return { manifest, verdict, expected }
  } catch (error) {
    return { manifest, verdict: 'invalid', expected, error }
  }
}

async function latest(ref: Manifest['ref'], signal: AbortSignal) {
  try {
    const head = await releases.history({ ref, limit: 1 }, { signal })
    return await releases.get({ ref, version: head.document!.latestVersion }, { signal })
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.NotFound)
      return { document: undefined, version: undefined }
    throw error
  }
}

/** Validates all and says what each would change, a few at a time. */
export async function judge(
  items: readonly Item[],
  signal: AbortSignal,
  tell: (items: Item[]) => void,
): Promise<Item[]> {
  const judged = [...items]
  let next = 0
  const worker = async () => {
    while (next < judged.length && !signal.aborted) {
      const i = next++
      judged[i] = await judgeOne(judged[i]!, signal)
      if (i % 20 === 0 && !signal.aborted) tell([...judged])
    }
  }
  await Promise.all([worker(), worker(), worker(), worker()])
  return judged
}

/** Whether an error is about the one document, so that the next may well be taken: not that the server is gone, or that who asks may not. */
export const aboutDocument = (error: unknown) =>
  error instanceof ConnectError &&
  [
    Code.InvalidArgument,
    Code.NotFound,
    Code.AlreadyExists,
    Code.FailedPrecondition,
    Code.Aborted,
    Code.OutOfRange,
  ].includes(error.code)

/** Publishes what is new or changed, one after another; the first that fails ends it, or is left out where that is wanted. */
export async function publish(
  items: readonly Item[],
  { message, release, keepGoing }: Choice,
  signal: AbortSignal,
  tell: (items: Item[]) => void,
) {
  const all = [...items]
  for (const [i, item] of all.entries()) {
    if (signal.aborted) return
    const wanted = item.verdict === 'new' || item.verdict === 'changed' || (release && item.verdict === 'unreleased')
    if (!wanted) continue
    const { ref, format, content, sensitive } = item.manifest
    try {
      await releases.publish(
        { ref, format, content, sensitive, message, release, expectedVersion: item.expected },
        { signal },
      )
      all[i] = { ...item, verdict: 'done' }
    } catch (error) {
      all[i] = { ...item, verdict: 'failed', error }
      tell([...all])
      if (!keepGoing || !aboutDocument(error)) return
      continue
    }
    tell([...all])
  }
}

/**
 * The command that publishes the same: a folder that was chosen is imported, files are applied. It validates all before the first, so that files of which something is
 * left out are not named; undefined where a file holds both, which no command takes in part.
 */
export function commandOf(
  items: readonly Item[],
  namespace: string,
  { release, message, keepGoing, broken }: Choice & { broken: boolean },
): string[] | undefined {
  const filesOf = (some: readonly Item[]) => [...new Set(some.map((item) => item.manifest.file))].sort()
  const refused = new Set(keepGoing ? filesOf(items.filter((item) => item.verdict === 'invalid')) : [])
  const files = filesOf(items.filter((item) => item.verdict !== 'invalid' || !keepGoing))
  if (files.some((file) => refused.has(file))) return undefined
  const folders = new Set(files.map((file) => file.slice(0, file.indexOf('/') + 1)))
  const [folder] = folders
  const whole = folders.size === 1 && folder && refused.size === 0 && !(keepGoing && broken)
  return [
    ...(whole ? ['import', folder] : ['apply', ...files.flatMap((file) => ['-f', file])]),
    ...['-n', namespace, release ? '' : '--draft', keepGoing ? '--keep-going' : ''],
    ...(message ? ['--message', message] : []),
  ]
}
