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
