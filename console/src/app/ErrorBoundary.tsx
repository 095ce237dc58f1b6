import { Button } from 'antd'
import { Component, type ReactNode } from 'react'
import { useMessages } from './i18n'
import { texts } from './messages'
import { Notice } from './Notice'

function Crash({ error, again }: { error: Error; again: () => void }) {
  const t = useMessages(texts).crash
  return (
    <Notice
      title={t.title}
      action={
        <Button type="primary" onClick={again}>
          {t.again}
        </Button>
      }
    >
      {t.text} <code>{error.message}</code>
    </Notice>
  )
}

/** Keeps a defect of one page from taking the others along. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {}
  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error(String(error)) }
  }
  override render() {
    // A page that could not be loaded is often one of an older build: the whole is loaded again.
    if (this.state.error) return <Crash error={this.state.error} again={() => location.reload()} />
    return this.props.children
  }
}
