/** The nonce that the server put into the page for styles made at run time; undefined under `npm run dev`, where there is no policy. */
export function styleNonce(): string | undefined {
  const given = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content
  return given && !given.startsWith('{{') ? given : undefined
}
