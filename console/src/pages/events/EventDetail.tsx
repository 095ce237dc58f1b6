import { SearchOutlined } from '@ant-design/icons'
import { Button, Drawer } from 'antd'
import type { BusinessEvent } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { dateOf } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { Time } from '@/ui/Time'
import { fieldText, stateOfEvent } from './fields'
import { texts } from './messages'

export function EventDetail({
  namespace,
  event,
  close,
  only,
}: {
  namespace: string
  event: BusinessEvent | undefined
  close: () => void
  /** Asks for events with this field. */
  only: (name: string, value: string) => void
}) {
  const t = useMessages(texts)
  return (
    <Drawer open={event !== undefined} onClose={close} title={event?.topic ?? t.detail} size={480}>
      {event && (
        <>
          <StateTag state={stateOfEvent(event)} />
          <dl className="g-events-facts">
            <dt>{t.time}</dt>
            <dd>
              <Time at={dateOf(event.time)} milliseconds />
            </dd>
            <dt>{t.service}</dt>
            <dd>
              <PageLink to={paths.service(namespace, event.service)}>{event.service}</PageLink>
            </dd>
            <dt>{t.instance}</dt>
            <dd className="g-break">
              <PageLink to={paths.instance(namespace, event.service, event.instance)}>{event.instance}</PageLink>
            </dd>
            <dt>{t.openTrace}</dt>
            <dd className="g-break">
              {event.traceId ? (
                <PageLink to={withQuery(paths.trace(namespace, event.traceId), { span: event.spanId })}>
                  <code>{event.traceId}</code>
                </PageLink>
              ) : (
                <span className="g-secondary">{t.noTrace}</span>
              )}
            </dd>
            <dt>{t.arrived}</dt>
            <dd>
              <Time at={dateOf(event.arrived)} milliseconds />
            </dd>
            <dt>{t.id}</dt>
            <dd className="g-break">
              <code>{event.id}</code>
            </dd>
          </dl>
          <h3>{t.fields}</h3>
          <dl className="g-events-facts">
            {Object.entries(event.fields)
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([name, value]) => {
                const text = fieldText(value)
                const label = t.findLike(`${name}=${text}`)
                return [
                  <dt key={`${name} name`} className="g-break">
                    {name}
                  </dt>,
                  <dd key={`${name} value`} className="g-break">
                    {text}{' '}
                    {text !== '' && text.length <= 200 && (
                      <Button
                        type="text"
                        size="small"
                        icon={<SearchOutlined />}
                        aria-label={label}
                        title={label}
                        onClick={() => only(name, text)}
                      />
                    )}
                  </dd>,
                ]
              })}
          </dl>
        </>
      )}
    </Drawer>
  )
}
