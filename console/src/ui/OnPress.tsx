import { App } from 'antd'
import { useState, type ReactNode } from 'react'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

/**
 * What opens from a button. Its code is loaded when the button is pressed for the first time; then it stands in the button's place, open: nobody waits for a menu that
 * they do not open, and a page is there sooner.
 */
export function OnPress({
  load,
  button,
  children,
}: {
  load: () => Promise<unknown>
  /** The button until then. */
  button: (press: () => void) => ReactNode
  /** What stands there then, with a button of the same look that takes the focus. */
  children: ReactNode
}) {
  const { message } = App.useApp()
  const t = useMessages(texts)
  const [there, setThere] = useState(false)
  if (there) return children
  return button(() =>
    load().then(
      () => setThere(true),
      () => void message.error(t.notLoaded),
    ),
  )
}
