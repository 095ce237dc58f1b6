import { LockOutlined } from '@ant-design/icons'
import type { ReactNode } from 'react'
import { Action, type HistoryResponse } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import { dateOf, unknown } from '@/ui/format'
import { Ago } from '@/ui/Time'
import { progressOf } from './history'
import { texts } from './messages'
import { useApplied } from './queries'
import type { Reference } from './reference'

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt className="g-secondary">{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

/** What one must know before one touches it: what is in force since when, what came last, who runs it. */
export function Facts({ reference: ref, history }: { reference: Reference; history: HistoryResponse }) {
  const t = useMessages(texts).facts
  const head = history.document!
  const applied = useApplied(ref)
  const progress = progressOf(applied.data?.reports ?? [])
  const released = history.entries.find(
    (entry) =>
      entry.version === head.releasedVersion &&
      (entry.action === Action.RELEASED || entry.action === Action.PROMOTED || entry.action === Action.ROLLED_BACK),
  )
  const latest = history.versions.find((version) => version.version === head.latestVersion)
  const behind = progress.waiting + progress.failed
  return (
    <dl className="g-document-facts">
      <Fact name={t.released}>
        {head.releasedVersion > 0n ? (
          <>
            <strong className="g-num">{String(head.releasedVersion)}</strong>
            {released && (
              <span className="g-secondary">
                {' '}
                {released.author}, <Ago at={dateOf(released.at)} />
              </span>
            )}
          </>
        ) : (
          t.nothing
        )}
      </Fact>
      <Fact name={t.latest}>
        <strong className="g-num">{String(head.latestVersion)}</strong>
        {latest && (
          <span className="g-secondary">
            {' '}
            {latest.author}, <Ago at={dateOf(latest.createdAt)} />
          </span>
        )}
      </Fact>
      <Fact name={t.applied}>
        {!applied.data ? (
          unknown
        ) : progress.total === 0 ? (
          <span className="g-secondary">{t.nobody}</span>
        ) : (
          <span className={progress.failed > 0 ? 'g-danger' : behind > 0 ? 'g-document-warn' : undefined}>
            {t.appliedOf(progress.applied, progress.total)}
            {behind > 0 && <> · {t.behind(behind)}</>}
          </span>
        )}
      </Fact>
      <Fact name={t.format}>
        {head.format}
        {head.sensitive && (
          <span>
            {' '}
            <LockOutlined aria-hidden /> {t.sensitive}
          </span>
        )}
      </Fact>
    </dl>
  )
}
