import type { UseQueryResult } from '@tanstack/react-query'
import { Tag } from 'antd'
import type { Change, ChangesResponse } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { Ago } from '@/ui/Time'
import { texts } from './messages'
import { groupChanges } from './summary'

const most = 40

export function ChangesPanel({ namespace, changes }: { namespace: string; changes: UseQueryResult<ChangesResponse> }) {
  const t = useMessages(texts)
  return (
    <Panel title={t.changed} className="g-panel-flush g-overview-changes">
      <Answer query={changes}>
        {(answer) => {
          const groups = groupChanges(answer.changes)
          if (groups.length === 0) return <Empty title={t.nothingChanged}>{t.nothingChangedText}</Empty>
          return (
            <ul className="g-overview-list" tabIndex={0} aria-label={t.changed}>
              {groups.slice(0, most).map(({ first, count }) => (
                <li key={first.id}>
                  <Tag color={first.kind.startsWith('release') ? 'blue' : undefined}>{first.kind}</Tag>
                  <span className="g-grow g-break">
                    <Subject namespace={namespace} change={first} />{' '}
                    {first.message && <span className="g-secondary">{first.message} </span>}
                    {first.actor && <span className="g-secondary">{t.by(first.actor)} </span>}
                    {count > 1 && <span className="g-secondary">· {t.times(count)}</span>}
                  </span>
                  <span className="g-secondary">
                    <Ago at={dateOf(first.time)} />
                  </span>
                </li>
              ))}
              {groups.length > most && <li className="g-secondary">{t.more(groups.length - most)}</li>}
            </ul>
          )
        }}
      </Answer>
    </Panel>
  )
}

/** What was changed, as a link to it. */
function Subject({ namespace, change }: { namespace: string; change: Change }) {
  const [kind, ...name] = change.target.split('/')
  if (change.service) return <PageLink to={paths.service(namespace, change.service)}>{change.service}</PageLink>
  if (kind && name.length > 0)
    return <PageLink to={paths.document(namespace, kind, name.join('/'))}>{change.target}</PageLink>
  return <>{change.target}</>
}
