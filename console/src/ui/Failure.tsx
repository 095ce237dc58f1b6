import { Alert, Button } from 'antd'
import { explain, type Explained } from '@/app/errors'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

/** An error as the server said it: what, where, and what to do next. */
export function Failure({ error, retry, compact }: { error: unknown; retry?: () => void; compact?: boolean }) {
  const t = useMessages(texts).failure
  const said = explain(error)
  const title = said.code === 'network' ? t.network : said.code === 'permission_denied' ? t.forbidden : t.other
  return (
    <Alert
      className="g-failure"
      role="alert"
      type={said.code === 'permission_denied' ? 'warning' : 'error'}
      showIcon={!compact}
      title={title}
      description={<Said said={said} />}
      action={
        retry && (
          <Button size="small" onClick={retry}>
            {t.retry}
          </Button>
        )
      }
    />
  )
}

function Said({ said }: { said: Explained }) {
  const t = useMessages(texts).failure
  return (
    <>
      <div className="g-break">
        {said.field && <code>{said.field}: </code>}
        {said.line !== undefined && <>{t.line(said.line, said.column)}: </>}
        {said.message}
      </div>
      {said.hint && <div className="g-secondary g-break">{said.hint}</div>}
      {said.others.length > 0 && (
        <ul>
          {said.others.map((other, i) => (
            <li key={i}>
              <Said said={other} />
            </li>
          ))}
        </ul>
      )}
      {/* What did not come from the server has no code that one could look up. */}
      {(said.reason || said.code !== 'internal') && <code className="g-secondary">{said.reason ?? said.code}</code>}
    </>
  )
}
