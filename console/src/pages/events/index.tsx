import { ReloadOutlined } from '@ant-design/icons'
import { Alert, Button, Switch } from 'antd'
import { useCallback, useMemo, type ReactNode } from 'react'
import { useSearchParams } from 'react-router'
import type { BusinessEvent } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { Page, Panel } from '@/ui/Page'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { useTimeRange } from '@/ui/timeRange'
import { command, message, read, write, type Conditions } from './conditions'
import { ConditionsBar } from './ConditionsBar'
import { CountsPanel } from './CountsPanel'
import { EventDetail } from './EventDetail'
import { EventList } from './EventList'
import { texts } from './messages'
import { OlderEvents } from './OlderEvents'
import { useCounts, useEvents, useTail, useTopics } from './queries'
import { kept } from './tail'
import { TopicsPanel } from './TopicsPanel'
import '../traces/traces.css'
import './events.css'

/** Business events: what happened, what it was worth, and the trace that it happened in. */
export default function Events() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const range = useTimeRange()
  const [search, setSearch] = useSearchParams()
  const conditions = useMemo(() => read(search), [search])
  const following = search.get('follow') === '1'
  const change = (changed: Partial<Conditions>) => setSearch((old) => write(old, { ...read(old), ...changed }))
  const put = useCallback(
    (name: string, value: string | undefined) =>
      setSearch((old) => {
        const next = new URLSearchParams(old)
        if (value) next.set(name, value)
        else next.delete(name)
        return next
      }),
    [setSearch],
  )
  const topics = useTopics(namespace)
  const list = useEvents(namespace, conditions, range, !following)
  const tail = useTail(namespace, conditions, following)
  const counts = useCounts(namespace, conditions, range)
  const shown = following ? tail.data?.events : list.known?.events
  const services = useMemo(() => [...new Set((shown ?? []).map((event) => event.service))].sort(), [shown])
  const selected = search.get('event') ?? ''
  const open = useCallback((event: BusinessEvent) => put('event', event.id), [put])
  const span = range.span()
  const olderFailed = list.olderError !== null
  // By scrolling; after a failure only when somebody says so.
  const onEnd = useMemo(
    () => (!following && list.hasOlder && !list.isFetching && !olderFailed ? list.older : undefined),
    [following, list.hasOlder, list.isFetching, olderFailed, list.older],
  )
  const table = (events: readonly BusinessEvent[], fresh?: ReadonlySet<string>, foot?: ReactNode) => (
    <Panel title={t.list(events.length)} className="g-panel-flush">
      <EventList
        namespace={namespace}
        events={events}
        fresh={fresh}
        open={open}
        onEnd={onEnd}
        selected={selected || undefined}
        empty={following ? <Empty title={t.noneYet} /> : <Empty title={t.none}>{t.noneHint}</Empty>}
      />
      {foot}
    </Panel>
  )
  return (
    <Page
      title={t.title}
      views="events"
      actions={
        <>
          <label className="g-events-follow">
            <Switch checked={following} onChange={(on) => put('follow', on ? '1' : undefined)} aria-label={t.follow} />
            {t.follow}
          </label>
          <TimeRangePicker range={range} />
          <Button
            icon={<ReloadOutlined />}
            aria-label={t.refresh}
            title={t.refresh}
            loading={list.isFetching}
            disabled={following}
            onClick={() => void Promise.all([list.refetch(), topics.refetch()])}
          />
        </>
      }
      same={{
        command: command(namespace, conditions, range, following),
        call: {
          method: 'gantry.v1.EventService/Query',
          message: following ? message(namespace, conditions) : message(namespace, conditions, span.since, span.until),
        },
      }}
    >
      <Panel title={t.conditions} className="g-traces-panel">
        <ConditionsBar
          conditions={conditions}
          topics={topics.data?.topics ?? []}
          services={services}
          following={following}
          change={change}
        />
      </Panel>
      <div className="g-events-top">
        <CountsPanel counts={counts} conditions={conditions} narrow={range.set} />
        <TopicsPanel topics={topics} chosen={conditions.topic} choose={(topic) => change({ topic })} />
      </div>
      {following ? (
        <Answer query={tail}>
          {(answer) => (
            <>
              <Alert type="info" role="status" title={answer.cut ? `${t.following} ${t.cut(kept)}` : t.following} />
              <Lacking missing={answer.missing} partial={answer.partial} />
              {table(answer.events, answer.fresh)}
            </>
          )}
        </Answer>
      ) : (
        <Answer query={{ data: list.known, error: list.error, refetch: list.refetch }}>
          {(answer) => (
            <>
              <Lacking missing={answer.missing} partial={answer.partial} />
              {answer.hole && <Alert type="warning" showIcon role="status" title={t.hole} />}
              {table(
                answer.events,
                undefined,
                answer.events.length > 0 || answer.downTo ? (
                  <OlderEvents
                    count={answer.events.length}
                    downTo={answer.downTo}
                    hasOlder={list.hasOlder}
                    loading={list.isFetchingOlder}
                    error={list.olderError}
                    load={list.older}
                  />
                ) : undefined,
              )}
            </>
          )}
        </Answer>
      )}
      <EventDetail
        namespace={namespace}
        event={shown?.find((event) => event.id === selected)}
        close={() => put('event', undefined)}
        only={(name, value) => {
          setSearch((old) => {
            const before = read(old)
            const fields = [...before.fields.filter(([known]) => known !== name), [name, value] as [string, string]]
            const next = write(old, { ...before, fields })
            next.delete('event')
            return next
          })
        }}
      />
    </Page>
  )
}

/** What could not be asked or read. */
function Lacking({ missing, partial }: { missing: readonly string[]; partial: readonly string[] }) {
  const t = useMessages(texts)
  if (missing.length + partial.length === 0) return null
  return (
    <Alert
      type="warning"
      showIcon
      role="status"
      title={t.lacking}
      description={
        <>
          {missing.length > 0 && <div className="g-break">{t.missingNodes(missing.join(', '))}</div>}
          {partial.length > 0 && <div className="g-break">{partial.join(' · ')}</div>}
        </>
      }
    />
  )
}
