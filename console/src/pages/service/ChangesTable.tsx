import { Tag } from 'antd'
import { useMemo } from 'react'
import type { Change } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { Time } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'

/** What was changed, newest first. */
export function ChangesTable({
  namespace,
  changes,
  label,
  height,
}: {
  namespace: string
  changes: readonly Change[]
  label: string
  height?: string
}) {
  const t = useMessages(texts)
  const columns = useMemo<Column<Change>[]>(
    () => [
      { key: 'time', title: t.time, width: 152, render: (change) => <Time at={dateOf(change.time)} /> },
      {
        key: 'what',
        title: t.what,
        width: 168,
        render: (change) => <Tag color={change.kind.startsWith('release') ? 'blue' : undefined}>{change.kind}</Tag>,
      },
      {
        key: 'target',
        title: t.target,
        width: '1fr',
        render: (change) => (
          <span title={change.target}>
            <Target namespace={namespace} change={change} />
          </span>
        ),
      },
      {
        key: 'details',
        title: t.details,
        width: '2fr',
        render: (change) => {
          const text = Object.entries(change.details)
            .map(([name, value]) => `${name}=${value}`)
            .join(' ')
          return (
            <span className="g-secondary" title={text}>
              {change.message && <>{change.message} · </>}
              {text}
            </span>
          )
        },
      },
      {
        key: 'actor',
        title: t.actor,
        width: 112,
        render: (change) => <span title={change.actor}>{change.actor || '–'}</span>,
      },
    ],
    [t, namespace],
  )
  return (
    <VirtualTable
      label={label}
      rows={changes}
      columns={columns}
      rowKey={(change) => change.id}
      height={height}
      empty={<Empty title={t.noChanges}>{t.noChangesText}</Empty>}
    />
  )
}

function Target({ namespace, change }: { namespace: string; change: Change }) {
  const parts = change.target.split('/')
  if (change.service && change.instance)
    return (
      <PageLink to={paths.instance(namespace, change.service, change.instance, groupOf(parts, change))}>
        {change.instance}
      </PageLink>
    )
  const [kind, ...name] = parts
  if (!change.service && kind && name.length > 0)
    return <PageLink to={paths.document(namespace, kind, name.join('/'))}>{change.target}</PageLink>
  return <>{change.target}</>
}

/** The target of an instance's change is group/service/id. */
const groupOf = (parts: readonly string[], change: Change) => (parts[1] === change.service ? parts[0] : undefined)
