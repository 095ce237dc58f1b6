import { Button } from 'antd'
import { useMessages } from '@/app/i18n'
import { useAuthenticationOff } from '@/app/session'
import { commandText, curlText, type Same } from './commands'
import { useCopy } from './useCopy'
import { texts } from './messages'

/** In a dialog: what does the same by the command line, to read and to copy. */
export function ByCommand({
  same,
  authenticationOff: given,
}: {
  same: Same | readonly Same[]
  /** For questions of useConfirm, which know no session. */
  authenticationOff?: boolean
}) {
  const t = useMessages(texts).copy
  const copy = useCopy()
  const known = useAuthenticationOff()
  const authenticationOff = given ?? known
  const all: readonly Same[] = 'length' in same ? same : [same]
  const commands = all.flatMap(({ command }) => (command ? [commandText(command)] : [])).join('\n')
  const calls = all.flatMap(({ call }) => (call ? [curlText(call, location.origin, authenticationOff)] : [])).join('\n')
  return (
    <div className="g-command">
      <code className="g-break">{commands || calls}</code>
      <span className="g-command-copy">
        {commands && (
          <Button size="small" onClick={() => void copy(commands)}>
            {t.copyCommand}
          </Button>
        )}
        {calls && (
          <Button size="small" onClick={() => void copy(calls)}>
            {t.copyCurl}
          </Button>
        )}
      </span>
    </div>
  )
}
