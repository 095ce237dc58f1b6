import type { Same } from '@/ui/commands'
import type { ServiceName } from './useService'

/** Lines of key=value; the number of the line that is none. */
export function parseMetadata(text: string): { metadata: Record<string, string> } | { line: number } {
  const metadata: Record<string, string> = {}
  for (const [i, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '') continue
    const at = line.indexOf('=')
    if (at < 1) return { line: i + 1 }
    metadata[line.slice(0, at).trim()] = line.slice(at + 1).trim()
  }
  return { metadata }
}

export const formatMetadata = (metadata: Readonly<Record<string, string>>) =>
  Object.entries(metadata)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join('\n')

/** What saves settings by the command line and by the API. The command leaves what is not named, so that a threshold that is taken back has no flag: the API alone can. */
export function sameSettings(
  { namespace, group, service }: ServiceName,
  percent: number | null,
  metadata: Readonly<Record<string, string>>,
): Same {
  const threshold = percent === null ? undefined : percent / 100
  const entries = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    ...(threshold === undefined
      ? {}
      : {
          command: [
            ...['service', 'configure', service, '-n', namespace, ...(group === 'default' ? [] : ['-g', group])],
            ...['--protect-threshold', String(threshold)],
            ...(entries.length === 0 ? ['--clear-metadata'] : []),
            ...entries.flatMap(([key, value]) => ['--metadata', `${key}=${value}`]),
          ],
        }),
    call: {
      method: 'gantry.v1.InstanceService/ConfigureService',
      message: {
        service: { namespace, group, service },
        settings: { ...(threshold === undefined ? {} : { protectThreshold: threshold }), metadata },
      },
    },
  }
}
