import { App } from 'antd'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

/** Puts text into the clipboard, and says so; shows it where the browser refuses. */
export function useCopy() {
  const { message, modal } = App.useApp()
  const t = useMessages(texts).copy
  return async (text: string) => {
    try {
      await navigator.clipboard.writeText(text)
      void message.success(t.copied)
    } catch {
      // Without TLS browsers have no clipboard but for localhost.
      modal.info({ title: t.refused, content: <pre className="g-pre">{text}</pre>, width: 640 })
    }
  }
}
