/**
 * Stands in for the hook of @rc-component/portal that locks the page behind a dialog (vite.config.ts): that one writes a style element without nonce. The style sheet
 * of the app does the same, by a selector.
 */
export default function useScrollLocker() {
  return undefined
}
