import { Progress as Bar, Spin } from 'antd'
import type { Instance } from '@/api/gen/gantry/v1/instance_pb'
import { explain } from '@/app/errors'
import { useMessages } from '@/app/i18n'
import { Failure } from '@/ui/Failure'
import { StateTag } from '@/ui/StateTag'
import { texts } from './messages'
import type { Answered } from './OperateDialog'
import type { Act } from './override'

/** Rows that are shown one by one: those that need a look come first. */
const most = 50
const order: Record<Answered['state'], number> = { failed: 0, running: 1, done: 2, waiting: 3 }

/** How an act goes, instance by instance. */
export function Progress({
  act,
  wait,
  targets,
  outcomes,
  running,
  late,
}: {
  act: Act
  wait: string
  targets: readonly Instance[]
  outcomes: readonly Answered[]
  running: boolean
  late: boolean
}) {
  const t = useMessages(texts)
  const done = outcomes.filter((outcome) => outcome.state === 'done').length
  const failed = outcomes.filter((outcome) => outcome.state === 'failed').length
  const rows = targets
    .map((target, i) => ({ target, outcome: outcomes[i]! }))
    .sort((a, b) => order[a.outcome.state] - order[b.outcome.state])
    .slice(0, most)
  return (
    <div className="g-operate" aria-live="polite">
      {running && <p>{act === 'drain' ? t.running(wait) : t.working}</p>}
      {targets.length > 1 && (
        <Bar
          percent={Math.round(((done + failed) / targets.length) * 100)}
          status={failed > 0 ? 'exception' : running ? 'active' : undefined}
          format={() => t.progress(done, targets.length)}
        />
      )}
      <ul className="g-operate-list">
        {rows.map(({ target, outcome }) => (
          <li key={target.id}>
            <span className="g-mono g-grow g-break">{target.id}</span>
            {outcome.state === 'running' && <Spin size="small" />}
            {outcome.state === 'waiting' && <span className="g-secondary">{t.notBegun}</span>}
            {outcome.state === 'done' &&
              (outcome.answer === 'stopped' ? (
                <StateTag state="draining">{t.stopped}</StateTag>
              ) : outcome.answer ? (
                <StateTag state={outcome.answer.acknowledged < outcome.answer.subscribers ? 'pending' : 'success'}>
                  {t.acknowledged(outcome.answer.acknowledged, outcome.answer.subscribers)}
                </StateTag>
              ) : (
                <StateTag state="success" />
              ))}
            {outcome.state === 'failed' && targets.length > 1 && (
              <StateTag state="failed">
                <span className="g-break">{explain(outcome.error).message}</span>
              </StateTag>
            )}
          </li>
        ))}
      </ul>
      {outcomes.length === 1 && outcomes[0]!.state === 'failed' && <Failure error={outcomes[0]!.error} compact />}
      {!running && late && <p className="g-secondary">{t.late}</p>}
    </div>
  )
}
