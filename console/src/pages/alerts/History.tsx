import { useInfiniteQuery } from '@tanstack/react-query'
import { Button } from 'antd'
import { useMemo } from 'react'
import { AlertState, type AlertRule, type AlertTransition } from '@/api/gen/gantry/v1/alert_pb'
import { alerts } from '@/api/clients/alerts'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Empty } from '@/ui/Empty'
import { Failure } from '@/ui/Failure'
import { count, dateOf } from '@/ui/format'
import { Loading } from '@/ui/Loading'
import { texts as shared } from '@/ui/messages'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Time } from '@/ui/Time'
import type { UsedTimeRange } from '@/ui/timeRange'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'
import { joinChanges, lanesOf, ownLabels, stateWord } from './model'
import { Timeline } from './Timeline'
import './alerts.css'

const pageSize = 200
const nobody: readonly AlertRule[] = []

/** What happened to the alerts of a namespace, or of one rule, in a time. */
export function History({
  namespace,
  range,
  kind = '',
  name = '',
  rules = nobody,
}: {
  namespace: string
  range: UsedTimeRange
  kind?: string
  name?: string
  /** Those of now: what has fired all the time has no entry. */
  rules?: readonly AlertRule[]
}) {
  const t = useMessages(texts).history
  const query = useInfiniteQuery({
    queryKey: key('alerts', namespace, 'history', kind, name, range.from, range.to),
    initialPageParam: '',
    queryFn: async ({ pageParam, signal }) => {
      const span = range.span()
      const page = await alerts.listAlertHistory(
        { namespace, kind, name, ...range.timestamps(), pageSize, pageToken: pageParam },
        { signal },
      )
      return { page, span }
    },
    getNextPageParam: ({ page }) => page.nextPageToken || undefined,
  })
  const pages = query.data?.pages
  const entries = useMemo(() => pages?.flatMap(({ page }) => page.entries) ?? [], [pages])
  const span = pages?.[0]?.span
  const lanes = useMemo(() => {
    if (!span) return []
    // What is older than the pages that were read is not known.
    const oldest = query.hasNextPage ? dateOf(entries.at(-1)?.at) : undefined
    return lanesOf(entries, rules, { since: oldest ?? span.since, until: span.until }, new Date())
  }, [entries, rules, span, query.hasNextPage])
  const columns = useColumns(namespace, name === '')
  return (
    <>
      {query.error && <Failure error={query.error} retry={() => void query.refetch()} />}
      {!span && !query.error && <Loading shape="chart" />}
      {span && (
        <>
          <Timeline namespace={namespace} lanes={lanes} span={span} named={name === ''} />
          <Panel title={t.list} className="g-panel-flush">
            <VirtualTable
              label={t.list}
              rows={entries}
              columns={columns}
              rowKey={(entry) => keys(entry)}
              empty={<Empty title={t.none}>{t.noneText}</Empty>}
            />
            {entries.length > 0 && (
              <div className="g-alerts-more">
                {query.hasNextPage ? (
                  <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                    {t.older}
                  </Button>
                ) : (
                  <span className="g-secondary">{t.all}</span>
                )}
              </div>
            )}
          </Panel>
        </>
      )}
    </>
  )
}

const keys = (entry: AlertTransition) =>
  [
    entry.at?.seconds,
    entry.at?.nanos,
    entry.kind,
    entry.name,
    entry.what,
    entry.to,
    ...Object.values(entry.labels),
  ].join(' ')

function useColumns(namespace: string, named: boolean): Column<AlertTransition>[] {
  const t = useMessages(texts).history
  const states = useMessages(shared).state
  return useMemo(() => {
    const rule: Column<AlertTransition> = {
      key: 'rule',
      title: t.rule,
      width: '1.2fr',
      render: (entry) =>
        entry.kind === 'Receiver' ? (
          <PageLink to={paths.document(namespace, entry.kind, entry.name)}>
            {entry.kind}/{entry.name}
          </PageLink>
        ) : (
          <PageLink to={paths.alert(namespace, entry.kind, entry.name)}>{entry.name}</PageLink>
        ),
    }
    return [
      { key: 'time', title: t.time, width: 168, render: (entry) => <Time at={dateOf(entry.at)} /> },
      ...(named ? [rule] : []),
      {
        key: 'what',
        title: t.what,
        width: '2fr',
        render: (entry) => (
          <span title={entry.message}>
            {entry.to !== AlertState.UNSPECIFIED && (
              <>
                <span className="g-secondary">{states[stateWord[entry.from]]} → </span>
                <StateTag state={stateWord[entry.to]} />{' '}
              </>
            )}
            {entry.message}
          </span>
        ),
      },
      {
        key: 'labels',
        title: t.labels,
        width: '1.2fr',
        render: (entry) => {
          const text = ownLabels(entry.labels)
            .map(([name, value]) => (name === 'service' ? value : `${name}=${value}`))
            .join(' ')
          return <span title={text}>{text}</span>
        },
      },
      {
        key: 'value',
        title: t.value,
        width: 88,
        align: 'right',
        render: (entry) => (entry.to === AlertState.UNSPECIFIED ? '' : count(Number(entry.value.toPrecision(4)))),
      },
      {
        key: 'changes',
        title: t.changes,
        width: '1.5fr',
        render: (entry) => {
          const text = joinChanges(entry.changes)
            .map(
              ({ change, times }) =>
                `${change.kind} ${change.service || change.summary}${times > 1 ? ` ×${times}` : ''}`,
            )
            .join('; ')
          return <span title={text}>{text}</span>
        },
      },
    ]
  }, [namespace, named, states, t])
}
