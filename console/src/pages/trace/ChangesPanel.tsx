import { Segmented, Tag } from 'antd'
import { memo, useState } from 'react'
import type { Change } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { dateOf, seconds } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { belongsTo } from './inForce'
import { texts } from './messages'
import type { Trace } from './model'
import { spans, useChangesBefore, type Before } from './queries'

const most = 100

/** What somebody changed shortly before: the first suspects. Those about services of the trace come first. */
export const ChangesPanel = memo(function ChangesPanel({ namespace, trace }: { namespace: string; trace: Trace }) {
  const t = useMessages(texts)
  const [before, setBefore] = useState<Before>('30m')
  const changes = useChangesBefore(namespace, before, trace.epoch, trace.epoch + trace.duration)
  return (
    <Panel
      title={t.changes}
      className="g-panel-flush"
      extra={
        <Segmented<Before>
          size="small"
          aria-label={t.changes}
          value={before}
          onChange={setBefore}
          options={(Object.keys(spans) as Before[]).map((value) => ({ value, label: t.changesWithin[value] }))}
        />
      }
    >
      <Answer query={changes} count={3}>
        {(answer) => {
          const own = (change: Change) => Number(concerns(change, trace.services))
          const list = answer.changes.toSorted((a, b) => own(b) - own(a)).slice(0, most)
          if (list.length === 0) return <Empty title={t.noChanges} />
          return (
            <ul className="g-trace-list g-trace-panel-list">
              {list.map((change) => {
                const early = trace.epoch - (dateOf(change.time)?.getTime() ?? 0)
                return (
                  <li key={change.id} className="g-trace-change">
                    <span className="g-num g-secondary">
                      {early > 0 ? t.before(seconds(Math.round(early / 100) / 10)) : t.during}
                    </span>
                    <span className="g-grow g-break">
                      <Tag color={change.kind.startsWith('release') ? 'blue' : undefined}>{change.kind}</Tag>
                      <Subject namespace={namespace} change={change} />{' '}
                      <span className="g-secondary">
                        {change.message} {change.actor && t.by(change.actor)} {own(change) > 0 && `· ${t.concerns}`}
                      </span>
                    </span>
                  </li>
                )
              })}
            </ul>
          )
        }}
      </Answer>
    </Panel>
  )
})

function concerns(change: Change, services: readonly string[]): boolean {
  if (change.service) return services.includes(change.service)
  const name = change.target.split('/').at(-1) ?? ''
  return services.some((service) => belongsTo(name, service))
}

function Subject({ namespace, change }: { namespace: string; change: Change }) {
  const [kind, ...name] = change.target.split('/')
  if (change.instance)
    return <PageLink to={paths.instance(namespace, change.service, change.instance)}>{change.instance}</PageLink>
  if (change.service) return <PageLink to={paths.service(namespace, change.service)}>{change.service}</PageLink>
  if (kind && name.length > 0)
    return (
      <PageLink to={withQuery(paths.document(namespace, kind, name.join('/')), { tab: 'history' })}>
        {change.target}
      </PageLink>
    )
  return <>{change.target}</>
}
