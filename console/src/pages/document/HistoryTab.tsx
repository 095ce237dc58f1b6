import { LinkOutlined } from '@ant-design/icons'
import { Button, Tooltip } from 'antd'
import { Action, type HistoryResponse } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { useCopy } from '@/ui/useCopy'
import { bytes, dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import type { State } from '@/ui/states'
import { StateTag } from '@/ui/StateTag'
import { Ago, Time } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { isEarlier, linesOf, type Line } from './history'
import { texts } from './messages'
import { cohortWords, type Reference } from './reference'
import type { Act } from './ActDialog'

const states: Partial<Record<Action, State>> = {
  [Action.RELEASED]: 'up',
  [Action.PROMOTED]: 'up',
  [Action.STAGED]: 'starting',
  [Action.ABORTED]: 'draining',
  [Action.ROLLED_BACK]: 'draining',
  [Action.DELETED]: 'down',
}

/** Versions and releases in one line of time. */
export function HistoryTab({
  reference: ref,
  history,
  mayRelease,
  ask,
}: {
  reference: Reference
  history: HistoryResponse
  mayRelease: boolean
  ask: (act: Act) => void
}) {
  const all = useMessages(texts)
  const t = all.history
  const namespace = useNamespace()
  const copy = useCopy()
  const head = history.document!
  const page = paths.document(namespace, ref.kind, ref.name)
  const lines = linesOf(history.entries, history.versions)
  const kept = new Set(history.versions.map((version) => version.version))
  const columns: Column<Line>[] = [
    { key: 'at', title: t.time, width: 168, render: ({ entry }) => <Time at={dateOf(entry.at)} /> },
    {
      key: 'action',
      title: t.action,
      width: 112,
      render: ({ entry }) => (
        <StateTag state={states[entry.action] ?? 'inactive'}>{t.actions[actionWord(entry.action)]}</StateTag>
      ),
    },
    {
      key: 'version',
      title: t.version,
      width: 88,
      align: 'right',
      render: ({ entry }) =>
        kept.has(entry.version) ? (
          <PageLink to={withQuery(page, { version: String(entry.version) })}>{String(entry.version)}</PageLink>
        ) : (
          <span className="g-secondary">{String(entry.version)}</span>
        ),
    },
    {
      key: 'detail',
      title: t.detail,
      width: '1fr',
      render: ({ entry, version }) => (
        <span className="g-secondary">
          {version
            ? bytes(version.size)
            : [cohortWords(entry.cohort), entry.previousVersion > 0n && t.before(String(entry.previousVersion))]
                .filter(Boolean)
                .join(' · ')}
        </span>
      ),
    },
    { key: 'author', title: t.author, width: 136, render: ({ entry }) => entry.author },
    {
      key: 'message',
      title: t.message,
      width: '2fr',
      render: ({ entry }) => <Tooltip title={entry.message}>{entry.message}</Tooltip>,
    },
    {
      key: 'act',
      title: t.acts,
      width: 184,
      align: 'right',
      render: ({ entry }) => {
        const version = entry.version
        if (!kept.has(version)) return null
        return (
          <span className="g-document-rowacts">
            {version !== head.releasedVersion && head.releasedVersion > 0n && (
              <PageLink to={withQuery(page, { tab: 'diff', from: String(head.releasedVersion), to: String(version) })}>
                {t.diff}
              </PageLink>
            )}
            {mayRelease && !head.rollout && version > head.releasedVersion && head.releasedVersion > 0n && (
              <PageLink to={withQuery(page, { tab: 'release', version: String(version) })}>{t.release}</PageLink>
            )}
            {mayRelease && version !== head.releasedVersion && isEarlier(version, head.releasedVersion) && (
              <Button size="small" type="link" onClick={() => ask({ verb: 'rollback', version })}>
                {t.rollBack}
              </Button>
            )}
            <Tooltip title={t.copyLink}>
              <Button
                size="small"
                type="text"
                icon={<LinkOutlined />}
                aria-label={t.copyLinkOf(String(version))}
                onClick={() => void copy(`${location.origin}/console${withQuery(page, { version: String(version) })}`)}
              />
            </Tooltip>
          </span>
        )
      },
    },
  ]
  return (
    <Panel
      title={t.title}
      className="g-panel-flush"
      extra={
        <span className="g-secondary">
          <Ago at={dateOf(head.updatedAt)} />
        </span>
      }
    >
      <VirtualTable
        label={t.title}
        rows={lines}
        columns={columns}
        rowKey={({ entry }) => `${entry.at?.seconds}.${entry.at?.nanos}.${entry.action}.${entry.version}`}
      />
    </Panel>
  )
}

function actionWord(action: Action) {
  switch (action) {
    case Action.PUBLISHED:
      return 'published'
    case Action.RELEASED:
      return 'released'
    case Action.STAGED:
      return 'staged'
    case Action.PROMOTED:
      return 'promoted'
    case Action.ABORTED:
      return 'aborted'
    case Action.ROLLED_BACK:
      return 'rolledBack'
    case Action.DELETED:
      return 'deleted'
    default:
      return 'other'
  }
}
