import { CloseOutlined } from '@ant-design/icons'
import { Button } from 'antd'
import { useMemo } from 'react'
import { canBeCause } from '@/api/changes'
import type { Change } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { count, dateOf, rate, seconds } from '@/ui/format'
import { Time } from '@/ui/Time'
import { TimeSeries, type Line } from '@/ui/TimeSeries'
import { FreshTag } from './FreshTag'
import { texts } from './messages'
import { fingerprintText, type ErrorGroup } from './ranking'

export interface ErrorPanelProps {
  namespace: string
  group: ErrorGroup
  times: readonly number[]
  changes: readonly Change[]
  close: () => void
}

/** All that is known of one group of errors. */
export function ErrorPanel({ namespace, group, times, changes, close }: ErrorPanelProps) {
  const t = useMessages(texts)
  const { example, service, code } = group
  const lines = useMemo<Line[]>(() => [{ name: code, values: group.trend, tone: 'bad' }], [code, group.trend])
  const markers = useMemo(
    () =>
      changes.flatMap((change) => {
        const at = dateOf(change.time)
        const matters = canBeCause(change) && (change.kind.startsWith('release') || change.service === service)
        return at && matters ? [{ at, text: `${change.kind} ${change.target || change.service}` }] : []
      }),
    [changes, service],
  )
  return (
    <aside className="g-panel g-errors-panel" aria-label={code}>
      <Button className="g-errors-close" type="text" icon={<CloseOutlined />} aria-label={t.close} onClick={close} />
      <h3 className="g-break">{code}</h3>
      <p className="g-errors-links">
        <PageLink to={paths.service(namespace, service)}>{service}</PageLink>
        {example?.traceId && <PageLink to={paths.trace(namespace, example.traceId)}>{t.example}</PageLink>}
        <PageLink to={withQuery(paths.traces(namespace), { service, outcome: 'failed' })}>{t.similar}</PageLink>
        <PageLink to={withQuery(paths.map(namespace), { focus: service, selected: `service/${service}` })}>
          {t.toMap}
        </PageLink>
      </p>
      {group.fresh && <Began fresh={group.fresh} first={group.first} namespace={namespace} />}
      {example?.message && (
        <>
          <h4>{t.message}</h4>
          <pre className="g-pre g-errors-message">{example.message}</pre>
        </>
      )}
      <dl className="g-errors-facts">
        {example?.type && <Fact word={t.type} code={example.type} />}
        {example?.frame && <Fact word={t.frame} code={example.frame} />}
        {example?.endpoint && <Fact word={t.endpoint} code={example.endpoint} />}
        {example && group.places.length === 1 && (
          <Fact word={t.fingerprint} code={fingerprintText(example.fingerprint) || t.noStack} />
        )}
        {example && (
          <div>
            <dt>{t.counted}</dt>
            <dd className="g-num">{t.countedText(count(group.least), count(group.count))}</dd>
          </div>
        )}
        {group.first && (
          <div>
            <dt>{t.first}</dt>
            <dd>
              <Time at={group.first} />
            </dd>
          </div>
        )}
        {group.last && (
          <div>
            <dt>{t.last}</dt>
            <dd>
              <Time at={group.last} />
            </dd>
          </div>
        )}
      </dl>
      <h4>{t.failedCalls(code)}</h4>
      <TimeSeries
        label={t.failedCalls(code)}
        times={times}
        lines={lines}
        format={rate}
        markers={markers}
        height={140}
      />
      {group.places.length > 1 && (
        <>
          <h4>{t.inPlaces}</h4>
          <ul className="g-errors-places">
            {group.places.slice(0, 20).map((place) => (
              <li key={`${place.fingerprint}\n${place.type}`}>
                <code className="g-break">{place.frame || place.type || t.noStack}</code>
                <span className="g-num">{count(place.count)}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </aside>
  )
}

function Fact({ word, code }: { word: string; code: string }) {
  return (
    <div>
      <dt>{word}</dt>
      <dd>
        <code className="g-break">{code}</code>
      </dd>
    </div>
  )
}

function Began({
  fresh,
  first,
  namespace,
}: {
  fresh: NonNullable<ErrorGroup['fresh']>
  first: Date | undefined
  namespace: string
}) {
  const t = useMessages(texts)
  const { change } = fresh
  const at = dateOf(change?.time)
  const [kind, ...name] = (change?.target ?? '').split('/')
  return (
    <div className="g-errors-began">
      {!change ? (
        <>
          <FreshTag /> {t.freshText}
        </>
      ) : (
        <>
          <strong>{t.began}</strong>
          <div className="g-break">
            {change.kind}{' '}
            {change.service ? (
              <PageLink to={paths.service(namespace, change.service)}>{change.service}</PageLink>
            ) : kind && name.length > 0 ? (
              <PageLink to={paths.document(namespace, kind, name.join('/'))}>{change.target}</PageLink>
            ) : (
              change.target
            )}{' '}
            {change.message}
          </div>
          <div className="g-secondary">
            <Time at={at} />
            {at && first && <>, {t.beganText(seconds((first.getTime() - at.getTime()) / 1000))}</>}
          </div>
        </>
      )}
    </div>
  )
}
