import { Alert } from 'antd'
import { memo } from 'react'
import { EventOutcome, type BusinessEvent } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { dateOf, seconds } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { fieldText, stateOfEvent } from '../events/fields'
import { texts } from './messages'
import { offsetOf } from './model'
import { lacking, useTraceEvents } from './queries'

/** What the trace was worth: the business events that were emitted within it. */
export const EventsPanel = memo(function EventsPanel({
  namespace,
  id,
  epoch,
  select,
}: {
  namespace: string
  /** Of the trace. */
  id: string
  epoch: number
  select: (spanId: string) => void
}) {
  const t = useMessages(texts)
  const events = useTraceEvents(namespace, id)
  return (
    <Panel title={t.businessEvents} className="g-panel-flush">
      <Answer query={events} count={2}>
        {(answer) => {
          const { missing, partial } = lacking(answer)
          return (
            <>
              {missing.length + partial.length > 0 && (
                <Alert
                  type="warning"
                  showIcon
                  banner
                  title={t.eventsLack}
                  description={missing.length > 0 ? t.missingNodes(missing.join(', ')) : partial.join(' · ')}
                />
              )}
              {answer.events.length === 0 ? (
                <Empty title={t.noEvents}>{t.noEventsHint}</Empty>
              ) : (
                <ul className="g-trace-list g-trace-panel-list">
                  {answer.events
                    .toSorted((a, b) => (dateOf(a.time)?.getTime() ?? 0) - (dateOf(b.time)?.getTime() ?? 0))
                    .map((event) => (
                      <EventItem key={event.id} event={event} epoch={epoch} namespace={namespace} select={select} />
                    ))}
                </ul>
              )}
            </>
          )
        }}
      </Answer>
    </Panel>
  )
})

export function EventItem({
  namespace,
  event,
  epoch,
  select,
}: {
  namespace: string
  event: BusinessEvent
  epoch: number
  /** Goes to the span that it was emitted in. */
  select?: (spanId: string) => void
}) {
  const t = useMessages(texts)
  const fields = Object.entries(event.fields)
  return (
    <li>
      <div className="g-trace-event-head">
        <span className="g-num g-secondary">{t.after(seconds(offsetOf(event.time, epoch) / 1000))}</span>
        <PageLink to={withQuery(paths.events(namespace), { topic: event.topic })}>{event.topic}</PageLink>
        {event.outcome !== EventOutcome.UNSPECIFIED && <StateTag state={stateOfEvent(event)} />}
        {select && event.spanId && (
          <button type="button" className="g-trace-link" onClick={() => select(event.spanId)}>
            {event.service}
          </button>
        )}
      </div>
      {fields.length > 0 && (
        <dl className="g-trace-pairs">
          {fields.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd className="g-break">{fieldText(value)}</dd>
            </div>
          ))}
        </dl>
      )}
    </li>
  )
}
