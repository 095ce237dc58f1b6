import { Button, Result } from 'antd'
import { Component, type ReactNode } from 'react'
import { useMessages } from './i18n'
import { texts } from './messages'

function Crash({ error, again }: { error: Error; again: () => void }) {
  const t = useMessages(texts).crash
  return (
    <Result
      status="warning"
      title={t.title}
      subTitle={
        <>
          {t.text} <code className="g-break">{error.message}</code>
        </>
      }
      extra={
        <Button type="primary" onClick={again}>
          {t.again}
        </Button>
      }
    />
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
