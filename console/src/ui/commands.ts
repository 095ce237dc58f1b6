/** What does the same as a page: the command, and the call of the API. */
export interface Same {
  /** Words of the command behind "gantry"; empty ones are left out. */
  command?: readonly string[]
  /** A method such as "gantry.v1.InstanceService/ListServices" and its message as JSON, or a path of the HTTP API. */
  call?: { method: string; message: object } | { path: string; query: Record<string, string> }
}

/** What holds for the moment in which it is copied: a relative time range has no fixed end. */
export type SameNow = () => Same

/** Quotes a word for a shell when it must be. */
export function quote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

export function commandText(words: readonly string[]): string {
  return ['gantry', ...words.filter((word) => word !== '').map(quote)].join(' ')
}

/** The call by curl. The token is read from the environment: it is never written here. */
export function curlText(call: NonNullable<Same['call']>, origin: string, authenticationOff = false): string {
  const auth = authenticationOff ? [] : ['-H "Authorization: Bearer $GANTRY_TOKEN"']
  const parts =
    'method' in call
      ? [
          'curl -sS',
          ...auth,
          "-H 'Content-Type: application/json'",
          `-d ${quote(JSON.stringify(call.message))}`,
          quote(`${origin}/${call.method}`),
        ]
      : [
          'curl -sS -G',
          ...auth,
          ...Object.entries(call.query).map(([k, v]) => `--data-urlencode ${quote(`${k}=${v}`)}`),
          quote(origin + call.path),
        ]
  return parts.join(' \\\n  ')
}
