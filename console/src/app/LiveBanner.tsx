import { Alert, Button, Tooltip } from 'antd'
import { clock } from '@/ui/format'
import { useMessages } from './i18n'
import { useLive } from './live'
import { texts } from './messages'

/** Across the page, when what is seen may be old. */
export function LiveBanner() {
  const t = useMessages(texts).live
  const { state, heard, retry } = useLive()
  // What is refused is told in place of the page.
  if (state === 'live' || state === 'connecting' || state === 'refused') return null
  return (
    <Alert
      banner
      type={state === 'lost' ? 'error' : 'warning'}
      title={state === 'lost' ? t.lost(clock(heard)) : t.stale(clock(heard))}
      action={
        <Button size="small" onClick={retry}>
          {t.retry}
        </Button>
      }
    />
  )
}

/** A small sign in the header. */
export function LiveSign() {
  const all = useMessages(texts)
  const { state, version, node } = useLive()
  const word = {
    live: all.live.live,
    connecting: all.live.connecting,
    lost: all.live.lostSign,
    stale: all.live.staleSign,
    refused: all.live.refusedSign,
  }[state]
  return (
    <Tooltip title={version ? all.shell.server(version, node ?? '') : undefined}>
      <span className={`g-live g-live-${state}`} role="status">
        <span aria-hidden className="g-live-dot" />
        <span className="g-live-word">{word}</span>
      </span>
    </Tooltip>
  )
}
