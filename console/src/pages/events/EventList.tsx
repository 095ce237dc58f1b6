import { useMemo, type ReactNode } from 'react'
import type { BusinessEvent } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { dateOf, shortId } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { Time } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { fieldText, stateOfEvent } from './fields'
import { texts } from './messages'

export function EventList({
  namespace,
  events,
  fresh,
  open,
  onEnd,
  selected,
  empty,
}: {
  namespace: string
  events: readonly BusinessEvent[]
  /** Those that came just now. */
  fresh?: ReadonlySet<string>
  open: (event: BusinessEvent) => void
  onEnd?: () => void
  selected?: string
  empty: ReactNode
}) {
  const t = useMessages(texts)
  const columns = useMemo<Column<BusinessEvent>[]>(
    () => [
      {
        key: 'time',
        title: t.time,
        width: 200,
        render: (event) => (
          <span className={fresh?.has(event.id) ? 'g-events-fresh' : undefined}>
            <Time at={dateOf(event.time)} milliseconds />
          </span>
        ),
      },
      {
        key: 'topic',
        title: t.topic,
        width: 160,
        render: (event) => <strong title={event.topic}>{event.topic}</strong>,
      },
      { key: 'outcome', title: t.outcome, width: 96, render: (event) => <StateTag state={stateOfEvent(event)} /> },
      {
        key: 'service',
        title: t.service,
        width: 120,
        render: (event) => <PageLink to={paths.service(namespace, event.service)}>{event.service}</PageLink>,
      },
      { key: 'fields', title: t.fields, width: '1fr', render: (event) => <Fields event={event} /> },
      {
        key: 'trace',
        title: t.openTrace,
        width: 96,
        render: (event) =>
          event.traceId && (
            <PageLink to={withQuery(paths.trace(namespace, event.traceId), { span: event.spanId })}>
              <code>{shortId(event.traceId)}</code>
            </PageLink>
          ),
      },
    ],
    [t, namespace, fresh],
  )
  return (
    <VirtualTable
      label={t.title}
      rows={events}
      columns={columns}
      rowKey={(event) => event.id}
      onOpen={open}
      onEnd={onEnd}
      selected={selected}
      empty={empty}
    />
  )
}

function Fields({ event }: { event: BusinessEvent }) {
  const all = Object.entries(event.fields).sort(([a], [b]) => (a < b ? -1 : 1))
  return (
    <span title={all.map(([name, value]) => `${name}=${fieldText(value)}`).join('\n')}>
      {all.map(([name, value]) => (
        <span key={name} className="g-events-field">
          <span className="g-secondary">{name}=</span>
          {fieldText(value)}
        </span>
      ))}
    </span>
  )
}
