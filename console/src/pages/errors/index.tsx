import { Alert, Checkbox, Segmented, Select } from 'antd'
import { useMemo } from 'react'
import { useSearchParams } from 'react-router'
import { useQuery } from '@tanstack/react-query'
import { servicesOf } from '@/api/fleet'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Answered } from '@/ui/Answered'
import { Empty } from '@/ui/Empty'
import { Sparkline } from '@/ui/Figure'
import { count, dateOf, shortId, unknown } from '@/ui/format'
import { Page } from '@/ui/Page'
import { Ago } from '@/ui/Time'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { useTimeRange } from '@/ui/timeRange'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { limit, useRanking, useRecentChanges, useTrends } from './data'
import { ErrorPanel } from './ErrorPanel'
import { FreshTag } from './FreshTag'
import { texts } from './messages'
import { rank, type ErrorGroup } from './ranking'
import './errors.css'

/** What goes wrong most, where it comes from, and whether a change brought it. */
export default function Errors() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const range = useTimeRange({ from: '-1h', to: 'now' })
  const [search, setSearch] = useSearchParams()
  const service = search.get('service') ?? ''
  const by = search.get('by') === 'code' ? 'code' : 'place'
  const onlyNew = search.get('new') === '1'
  const selected = search.get('selected') ?? ''
  const set = (name: string, value: string) =>
    setSearch(
      (old) => {
        const next = new URLSearchParams(old)
        if (value) next.set(name, value)
        else next.delete(name)
        if (name === 'by') next.delete('selected')
        return next
      },
      { replace: true },
    )
  const ranking = useRanking(namespace, service)
  const trends = useTrends(namespace, service, range)
  const changes = useRecentChanges(namespace, range)
  const services = useQuery(servicesOf(namespace))
  const { groups, times } = useMemo(
    () =>
      rank(
        ranking.data?.errors ?? [],
        trends.data,
        changes.data?.changes ?? [],
        dateOf(ranking.data?.answered?.since),
        by,
      ),
    [ranking.data, trends.data, changes.data, by],
  )
  const shown = onlyNew ? groups.filter((group) => group.fresh) : groups
  const open = shown.find((group) => group.id === selected)
  const names = [
    ...new Set([
      ...(services.data ?? []).map((each) => each.ref?.service ?? ''),
      ...groups.map((each) => each.service),
      service,
    ]),
  ]
    .filter(Boolean)
    .sort()
  return (
    <Page
      title={t.title}
      views="errors"
      actions={<TimeRangePicker range={range} />}
      same={{
        command: ['errors', service, '-n', namespace],
        call: {
          method: 'gantry.v1.TopologyService/RankErrors',
          message: { namespace, ...(service ? { service } : {}), limit },
        },
      }}
    >
      <div className="g-toolbar">
        <Select
          className="g-errors-service"
          aria-label={t.service}
          showSearch
          value={service}
          options={[{ value: '', label: t.allServices }, ...names.map((name) => ({ value: name, label: name }))]}
          onChange={(value: string) => set('service', value)}
          popupMatchSelectWidth={false}
        />
        <Segmented
          aria-label={t.by}
          value={by}
          options={[
            { value: 'place', label: t.byPlace },
            { value: 'code', label: t.byCode },
          ]}
          onChange={(value) => set('by', value === 'code' ? 'code' : '')}
        />
        <Checkbox checked={onlyNew} onChange={(event) => set('new', event.target.checked ? '1' : '')}>
          {t.onlyNew}
        </Checkbox>
        <span className="g-secondary" role="status">
          {ranking.data &&
            t.summary(
              groups.length,
              count(groups.reduce((sum, group) => sum + group.count, 0)),
              groups.filter((group) => group.fresh).length,
            )}
        </span>
      </div>
      <Answer query={ranking}>
        {(answer) => (
          <>
            <Answered about={answer.answered} />
            {trends.error && <Alert type="warning" showIcon title={t.noTrend} description={trends.error.message} />}
            <div className={`g-errors-stage${open ? ' g-errors-open' : ''}`}>
              <section className="g-panel" aria-label={t.list}>
                {shown.length === 0 ? (
                  <Empty title={onlyNew && groups.length > 0 ? t.noneNew : service ? t.noneOf(service) : t.none}>
                    {onlyNew && groups.length > 0 ? t.noneNewText : t.noneText}
                  </Empty>
                ) : (
                  <List
                    namespace={namespace}
                    groups={shown}
                    selected={selected}
                    narrow={open !== undefined}
                    onOpen={(id) => set('selected', id)}
                  />
                )}
                <p className="g-errors-note g-secondary">
                  {t.note} {answer.errors.length >= limit && t.truncated(limit)}
                </p>
              </section>
              {open && (
                <ErrorPanel
                  namespace={namespace}
                  group={open}
                  times={times}
                  changes={changes.data?.changes ?? []}
                  close={() => set('selected', '')}
                />
              )}
            </div>
          </>
        )}
      </Answer>
    </Page>
  )
}

const time = (date: Date | undefined) => date?.getTime() ?? 0

function List({
  namespace,
  groups,
  selected,
  narrow,
  onOpen,
}: {
  namespace: string
  groups: readonly ErrorGroup[]
  selected: string
  narrow: boolean
  onOpen: (id: string) => void
}) {
  const t = useMessages(texts)
  const columns = useMemo<Column<ErrorGroup>[]>(() => {
    const all: Column<ErrorGroup>[] = [
      {
        key: 'error',
        title: t.error,
        width: '4fr',
        render: (group) => <What group={group} />,
        compare: (a, b) => a.code.localeCompare(b.code),
      },
      {
        key: 'service',
        title: t.service,
        width: '1fr',
        render: (group) => <PageLink to={paths.service(namespace, group.service)}>{group.service}</PageLink>,
        compare: (a, b) => a.service.localeCompare(b.service),
      },
      {
        key: 'count',
        title: t.count,
        width: 96,
        align: 'right',
        render: (group) =>
          group.least < group.count ? `${count(group.least)}–${count(group.count)}` : count(group.count),
        compare: (a, b) => a.count - b.count,
      },
      {
        key: 'trend',
        title: t.trend,
        width: 144,
        render: (group) => <Sparkline values={group.trend} tone="bad" width={128} />,
      },
      {
        key: 'failed',
        title: t.inRange,
        width: 96,
        align: 'right',
        render: (group) => count(group.failed),
        compare: (a, b) => (a.failed ?? 0) - (b.failed ?? 0),
      },
      {
        key: 'first',
        title: t.first,
        width: 104,
        render: (group) => (group.first ? <Ago at={group.first} /> : t.earlier),
        compare: (a, b) => time(a.first) - time(b.first),
      },
      {
        key: 'last',
        title: t.last,
        width: 104,
        render: (group) => (group.last ? <Ago at={group.last} /> : t.earlier),
        compare: (a, b) => time(a.last) - time(b.last),
      },
      {
        key: 'trace',
        title: t.trace,
        width: 88,
        render: ({ example }) =>
          example?.traceId ? (
            <PageLink to={paths.trace(namespace, example.traceId)}>
              <code>{shortId(example.traceId)}</code>
            </PageLink>
          ) : (
            unknown
          ),
      },
    ]
    // Beside an open panel there is room for what tells them apart.
    return narrow ? all.filter(({ key }) => ['error', 'service', 'count', 'last'].includes(key)) : all
  }, [t, namespace, narrow])
  return (
    <VirtualTable
      label={t.list}
      rows={groups}
      columns={columns}
      rowKey={(group) => group.id}
      onOpen={(group) => onOpen(group.id)}
      selected={selected}
      initialSort={{ key: 'count', descending: true }}
      rowHeight={56}
    />
  )
}

/** Two lines: the code and whether it is new; what it says, and where. */
function What({ group }: { group: ErrorGroup }) {
  const t = useMessages(texts)
  const { example } = group
  const said = [example?.type, example?.message].filter(Boolean).join(': ')
  return (
    <div className="g-errors-what">
      <div className="g-errors-code">
        <strong className="g-cut" title={group.code}>
          {group.code}
        </strong>
        {group.fresh && <FreshTag change={group.fresh.change} />}
        {group.places.length > 1 && <span className="g-secondary">{t.places(group.places.length)}</span>}
      </div>
      <div className="g-secondary g-cut" title={said || example?.frame}>
        {said || example?.frame || example?.endpoint || unknown}
      </div>
    </div>
  )
}
