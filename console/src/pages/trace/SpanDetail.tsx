import { CloseOutlined, SearchOutlined } from '@ant-design/icons'
import { Button, Collapse } from 'antd'
import { memo, type ReactNode } from 'react'
import { Link } from 'react-router'
import type { BusinessEvent } from '@/api/gen/gantry/v1/event_pb'
import type { SpanAttribute } from '@/api/gen/gantry/v1/trace_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { seconds, shortId } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { Time } from '@/ui/Time'
import { durationWord } from '../traces/conditions'
import { EventItem } from './EventsPanel'
import { texts } from './messages'
import { isFailed, offsetOf, type Node } from './model'
import { useConfigurationAt } from './queries'
import { textOf } from './rows'

interface Props {
  namespace: string
  node: Node
  epoch: number
  onPath: number
  events: readonly BusinessEvent[]
  colour: string
  close: () => void
  go: (node: Node) => void
}

export const SpanDetail = memo(function SpanDetail({
  namespace,
  node,
  epoch,
  onPath,
  events,
  colour,
  close,
  go,
}: Props) {
  const t = useMessages(texts)
  const { span } = node
  const at = new Date(epoch + node.start)
  const endpoint = { service: span.service, endpoint: span.name }
  const resource = span.resource
  return (
    <aside className="g-trace-detail" aria-label={t.detail}>
      <header style={{ borderColor: colour }}>
        <div className="g-grow g-break">
          <PageLink to={paths.service(namespace, span.service)}>{span.service}</PageLink>
          <h3>{span.name}</h3>
        </div>
        <Button type="text" size="small" icon={<CloseOutlined />} aria-label={t.close} onClick={close} />
      </header>
      <div className="g-trace-lead">
        <StateTag state={isFailed(span) ? 'failed' : span.outcome === 'refused' ? 'refused' : 'success'} />
        {span.statusMessage && <span className="g-danger g-break">{span.statusMessage}</span>}
        {node.orphan && <span className="g-secondary">{t.orphan}</span>}
        {node.shift > 0 && <span className="g-secondary">{t.shift(seconds(node.shift / 1000))}</span>}
      </div>
      <dl className="g-trace-facts">
        <Fact name={t.duration}>
          <strong>{seconds((node.end - node.start) / 1000)}</strong>
        </Fact>
        <Fact name={t.self}>{seconds(node.self / 1000)}</Fact>
        <Fact name={t.onPath}>{seconds(onPath / 1000)}</Fact>
        <Fact name={t.begins}>
          {t.after(seconds(node.start / 1000))} · <Time at={at} milliseconds />
        </Fact>
        <Fact name={t.kind}>{span.kind}</Fact>
        {span.instance && (
          <Fact name={t.instance}>
            <PageLink to={paths.instance(namespace, span.service, span.instance)}>{span.instance}</PageLink>
          </Fact>
        )}
        {span.version && (
          <Fact name={t.version}>
            <Link to={withQuery(paths.traces(namespace), { service: span.service, version: span.version })}>
              {span.version}
            </Link>
          </Fact>
        )}
        {span.release && (
          <Fact name={t.release}>
            <Link to={withQuery(paths.traces(namespace), { service: span.service, release: span.release })}>
              {span.release}
            </Link>
          </Fact>
        )}
        {span.lane && (
          <Fact name={t.lane}>
            <Link to={withQuery(paths.traces(namespace), { lane: span.lane })}>{span.lane}</Link>
          </Fact>
        )}
        {span.zone && <Fact name={t.zone}>{span.zone}</Fact>}
        {node.parent && (
          <Fact name={t.parent}>
            <button type="button" className="g-trace-link g-break" onClick={() => go(node.parent!)}>
              {node.parent.span.service} {node.parent.span.name}
            </button>
          </Fact>
        )}
        <Fact name={t.spanId}>
          <code>{span.spanId}</code>
        </Fact>
        {span.scope && (
          <Fact name={t.scope}>
            <span className="g-secondary g-break">{span.scope}</span>
          </Fact>
        )}
      </dl>
      <div className="g-trace-like">
        <Link to={withQuery(paths.traces(namespace), endpoint)}>{t.findEndpoint}</Link>
        <Link to={withQuery(paths.traces(namespace), { ...endpoint, min: durationWord(node.end - node.start) })}>
          {t.findSlower}
        </Link>
      </div>
      {events.length > 0 && (
        <Part title={t.businessEvents}>
          <ul className="g-trace-list">
            {events.map((event) => (
              <EventItem key={event.id} event={event} epoch={epoch} namespace={namespace} />
            ))}
          </ul>
        </Part>
      )}
      {span.events.length > 0 && (
        <Part title={t.events}>
          <ul className="g-trace-list">
            {span.events.map((event, i) => (
              <li key={i}>
                <div>
                  <span className="g-num g-secondary">
                    {t.after(seconds((offsetOf(event.at, epoch) + node.shift) / 1000))}
                  </span>{' '}
                  <strong className={event.name === 'exception' ? 'g-danger' : undefined}>{event.name}</strong>
                </div>
                <LogAttributes attributes={event.attributes} />
              </li>
            ))}
          </ul>
        </Part>
      )}
      <Part title={t.attributes}>
        <Attributes namespace={namespace} attributes={span.attributes} />
      </Part>
      {span.links.length > 0 && (
        <Part title={t.links}>
          <ul className="g-trace-list">
            {span.links.map((link, i) => (
              <li key={i}>
                <Link to={withQuery(paths.trace(namespace, link.traceId), { span: link.spanId })}>
                  <code>
                    {shortId(link.traceId)} / {link.spanId}
                  </code>
                </Link>
                <LogAttributes attributes={link.attributes} />
              </li>
            ))}
          </ul>
        </Part>
      )}
      <Part title={t.configuration}>
        <Configuration namespace={namespace} service={span.service} at={epoch + node.start} />
      </Part>
      {resource.length > 0 && (
        <Collapse
          ghost
          size="small"
          className="g-trace-resource"
          items={[
            {
              key: 'resource',
              label: t.resource,
              children: <Attributes namespace={namespace} attributes={resource} />,
            },
          ]}
        />
      )}
    </aside>
  )
})

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  )
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <h4>{title}</h4>
      {children}
    </section>
  )
}

/** Beautified JSON; as it is when it is none. */
function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2)
  } catch {
    return json
  }
}

function Attributes({ namespace, attributes }: { namespace: string; attributes: readonly SpanAttribute[] }) {
  const t = useMessages(texts)
  if (attributes.length === 0) return <p className="g-secondary">{t.none}</p>
  return (
    <table className="g-trace-attributes">
      <thead className="g-sr">
        <tr>
          <th scope="col">{t.key}</th>
          <th scope="col">{t.value}</th>
        </tr>
      </thead>
      <tbody>
        {attributes
          .toSorted((a, b) => (a.key < b.key ? -1 : 1))
          .map((attribute, i) => {
            const text = textOf(attribute)
            const label = t.findLike(`${attribute.key}=${text}`)
            return (
              <tr key={i}>
                <th scope="row" className="g-break">
                  {attribute.key}
                </th>
                <td className="g-break">
                  {attribute.value.case === 'json' ? <pre className="g-pre">{pretty(text)}</pre> : text}
                  {text !== '' && text.length <= 200 && attribute.value.case !== 'json' && (
                    <Link
                      className="g-trace-like-this"
                      aria-label={label}
                      title={label}
                      to={withQuery(paths.traces(namespace), {
                        attr: `${attribute.key}=${text}`,
                        from: '-7d',
                        to: 'now',
                      })}
                    >
                      <SearchOutlined />
                    </Link>
                  )}
                </td>
              </tr>
            )
          })}
      </tbody>
    </table>
  )
}

function LogAttributes({ attributes }: { attributes: readonly SpanAttribute[] }) {
  const t = useMessages(texts)
  const stack = attributes.find((attribute) => attribute.key === 'exception.stacktrace')
  const rest = attributes.filter((attribute) => attribute !== stack)
  return (
    <>
      {rest.length > 0 && (
        <dl className="g-trace-pairs">
          {rest.map((attribute, i) => (
            <div key={i}>
              <dt>{attribute.key}</dt>
              <dd className="g-break">{textOf(attribute)}</dd>
            </div>
          ))}
        </dl>
      )}
      {stack && (
        <details open>
          <summary>{t.stack}</summary>
          <pre className="g-pre g-trace-stack">{textOf(stack)}</pre>
        </details>
      )}
    </>
  )
}

/** What the service was configured with when the span began. */
function Configuration({ namespace, service, at }: { namespace: string; service: string; at: number }) {
  const t = useMessages(texts)
  const known = useConfigurationAt(namespace, service, at)
  return (
    <Answer query={known} count={1}>
      {(documents) =>
        documents.length === 0 ? (
          <p className="g-secondary">{t.noConfiguration}</p>
        ) : (
          <ul className="g-trace-list">
            {documents.map(({ document, version, staged, since }) => {
              const name = document.ref?.name ?? ''
              const path = paths.document(namespace, 'Config', name)
              const changed = version !== undefined && document.releasedVersion !== version
              return (
                <li key={name} className="g-break">
                  <PageLink to={withQuery(path, { version: version?.toString() })}>{name}</PageLink>:{' '}
                  {version === undefined ? t.noneInForce : t.inForce(String(version))}
                  {since && (
                    <>
                      {' · '}
                      <Time at={since} />
                    </>
                  )}
                  {staged !== undefined && <> · {t.staged(String(staged))}</>}
                  {changed && (
                    <>
                      {' · '}
                      <PageLink to={withQuery(path, { tab: 'history' })}>
                        {t.sinceThen(String(document.releasedVersion))}
                      </PageLink>
                    </>
                  )}
                </li>
              )
            })}
          </ul>
        )
      }
    </Answer>
  )
}
