import { Button, Tooltip } from 'antd'
import type { HistoryResponse } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import { Answer } from '@/ui/Answer'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { Ago } from '@/ui/Time'
import type { Act } from './ActDialog'
import { ProgressBar } from './AppliedTable'
import { progressOf } from './history'
import { texts } from './messages'
import { useApplied } from './queries'
import { cohortWords, type Reference } from './reference'

/** A staged release under way, on every tab: how far it is, and the ways on. */
export function RolloutPanel({
  reference: ref,
  history,
  mayRelease,
  ask,
  next,
}: {
  reference: Reference
  history: HistoryResponse
  mayRelease: boolean
  ask: (act: Act) => void
  next: () => void
}) {
  const all = useMessages(texts)
  const t = all.rollout
  const head = history.document!
  const rollout = head.rollout!
  const applied = useApplied(ref)
  const needs = mayRelease ? undefined : all.release.needsReleaser
  return (
    <Panel
      className="g-document-rollout"
      title={t.title(String(rollout.version), cohortWords(rollout.cohort))}
      extra={
        <div className="g-toolbar">
          <Tooltip title={needs}>
            <Button disabled={needs !== undefined} onClick={() => ask({ verb: 'abort' })}>
              {t.abort}
            </Button>
          </Tooltip>
          <Button onClick={next}>{t.next}</Button>
          <Tooltip title={needs}>
            <Button type="primary" disabled={needs !== undefined} onClick={() => ask({ verb: 'promote' })}>
              {t.promote}
            </Button>
          </Tooltip>
        </div>
      }
    >
      <p className="g-document-line g-secondary">
        {t.by(rollout.author)} <Ago at={dateOf(rollout.startedAt)} />
        {head.releasedVersion > 0n && <> · {t.others(String(head.releasedVersion))}</>}
      </p>
      <Answer query={applied} count={1}>
        {(answer) => <ProgressBar progress={progressOf(answer.reports, rollout.version)} label={t.progress} />}
      </Answer>
    </Panel>
  )
}
