/** What POST /console/session answered when it was no success. */
export class LoginRefused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Signs in; the session comes as a cookie. */
export async function login(user: string, password: string): Promise<void> {
  const answer = await fetch('/console/session', {
    method: 'POST',
    credentials: 'same-origin',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ user, password }),
  })
  if (answer.ok) return
  throw new LoginRefused(answer.status, messageOf(await answer.text()))
}

/** The message of an error's JSON body, the text itself when it is none. */
export function messageOf(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed && typeof parsed.message === 'string')
      return parsed.message
  } catch {
    // Not JSON: a proxy's page, perhaps.
  }
  return body.slice(0, 300)
}
