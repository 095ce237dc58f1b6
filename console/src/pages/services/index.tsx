import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Grid } from 'antd'
import { useDeferredValue, useMemo } from 'react'
import { useNavigate, useSearchParams } from 'react-router'
import { key } from '@/api/keys'
import { figuresOf, instancesOf, servicesOf } from '@/api/fleet'
import { ranges } from '@/api/series'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { Failure } from '@/ui/Failure'
import { errorShare, Sparkline } from '@/ui/Figure'
import { duration, rate, share } from '@/ui/format'
import { Page } from '@/ui/Page'
import { resolve } from '@/ui/timeRange'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { FilterBar } from './FilterBar'
import { HealthCell } from './HealthCell'
import { texts } from './messages'
import { byName, filtered, filtersOf, rowsOf, type ServiceRow } from './rows'
import './services.css'

const halfHour = { from: '-30m', to: 'now' }
const step = 30

/** Every service of the namespace: how it is, and what it does. */
export default function Services() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const client = useQueryClient()
  const navigate = useNavigate()
  const [search] = useSearchParams()
  const services = useQuery(servicesOf(namespace))
  const instances = useQuery(instancesOf(namespace))
  const figures = useQuery(figuresOf(namespace))
  const trends = useQuery({
    queryKey: key('figures', namespace, 'services', 'trend'),
    queryFn: ({ signal, queryKey }) =>
      ranges(
        client,
        queryKey,
        namespace,
        { rates: 'sum by (service) (histogram_count(rate(gantry_request_duration_seconds[1m])))' },
        resolve(halfHour, Date.now()),
        step,
        signal,
      ),
  })
  const rows = useMemo(
    () => rowsOf(services.data ?? [], instances.data ?? [], figures.data?.services ?? [], trends.data?.parts.rates),
    [services.data, instances.data, figures.data, trends.data],
  )
  const text = search.toString()
  const filters = useMemo(() => filtersOf(new URLSearchParams(text)), [text])
  const shown = useDeferredValue(useMemo(() => filtered(rows, filters), [rows, filters]))
  const columns = useColumns(
    namespace,
    useMemo(() => rows.some((row) => row.lanes.length > 0), [rows]),
  )
  return (
    <Page
      title={t.title}
      views="services"
      same={{
        command: ['services', filters.search, '-n', namespace],
        call: {
          method: 'gantry.v1.InstanceService/ListServices',
          message: { namespace, ...(filters.search ? { search: filters.search } : {}) },
        },
      }}
    >
      <FilterBar rows={rows} filters={filters} shown={services.data && shown.length} />
      <section className="g-panel g-panel-flush" aria-label={t.title}>
        <div className="g-panel-body">
          {services.data && instances.error && <Failure error={instances.error} compact />}
          {services.data && figures.error && <Failure error={figures.error} compact />}
          <Answer query={services} count={12}>
            {() => (
              <VirtualTable
                label={t.title}
                rows={shown}
                columns={columns}
                rowKey={(row) => row.key}
                height="max(320px, calc(100dvh - 220px))"
                onOpen={(row) => void navigate(paths.service(namespace, row.name, row.group || undefined))}
                empty={
                  rows.length === 0 ? (
                    <Empty title={t.none}>{t.noneText}</Empty>
                  ) : (
                    <Empty title={t.nothingFits}>{t.nothingFitsText}</Empty>
                  )
                }
              />
            )}
          </Answer>
        </div>
      </section>
    </Page>
  )
}

type Texts = (typeof texts)['en']

const worst = { unavailable: 0, degraded: 1, healthy: 2, empty: 3, signals: 4 }

/** On a phone, what an emergency needs: how it is, and how it goes. A fleet without lanes has no column of dashes. */
function useColumns(namespace: string, lanes: boolean): Column<ServiceRow>[] {
  const t = useMessages(texts)
  const wide = Grid.useBreakpoint().md !== false
  return useMemo<Column<ServiceRow>[]>(
    () => [
      {
        key: 'service',
        title: t.service,
        width: '2fr',
        compare: (a, b) => byName(a.name, b.name),
        render: (row) => (
          <span title={row.key}>
            <PageLink to={paths.service(namespace, row.name, row.group || undefined)}>{row.name}</PageLink>
            {row.group && row.group !== 'default' && <span className="g-secondary"> {row.group}</span>}
          </span>
        ),
      },
      {
        key: 'state',
        title: t.state,
        width: wide ? 176 : 88,
        compare: (a, b) => worst[a.state] - worst[b.state] || b.counts.lost - a.counts.lost,
        render: (row) => <HealthCell row={row} />,
      },
      ...(wide ? described(t, lanes) : []),
      {
        key: 'rate',
        title: t.rate,
        width: 72,
        align: 'right',
        compare: (a, b) => (a.figures?.rate ?? -1) - (b.figures?.rate ?? -1),
        render: (row) => rate(row.figures?.rate),
      },
      {
        key: 'errors',
        title: t.errors,
        width: 64,
        align: 'right',
        compare: (a, b) => (errorShare(a.figures) ?? -1) - (errorShare(b.figures) ?? -1),
        render: (row) => (
          <span className={row.figures && row.figures.failed > 0n ? 'g-danger' : undefined}>
            {share(errorShare(row.figures))}
          </span>
        ),
      },
      {
        key: 'p99',
        title: t.p99,
        width: 80,
        align: 'right',
        compare: (a, b) => secondsOf(a) - secondsOf(b),
        render: (row) => duration(row.figures?.p99),
      },
    ],
    [t, namespace, lanes, wide],
  )
}

const described = (t: Texts, lanes: boolean): Column<ServiceRow>[] => [
  { key: 'versions', title: t.versions, width: '1fr', render: (row) => <Words values={row.versions} /> },
  ...(lanes
    ? [
        {
          key: 'lanes',
          title: t.lanes,
          width: '1fr',
          render: (row) => <Words values={row.lanes} />,
        } satisfies Column<ServiceRow>,
      ]
    : []),
  { key: 'protocols', title: t.protocols, width: 88, render: (row) => <Words values={row.protocols} /> },
  {
    key: 'trend',
    title: t.trend,
    width: 104,
    render: (row) =>
      row.trend && (
        <span className="g-services-trend">
          <Sparkline values={row.trend} width={96} height={24} />
        </span>
      ),
  },
]

const secondsOf = (row: ServiceRow) =>
  row.figures?.p99 ? Number(row.figures.p99.seconds) + row.figures.p99.nanos / 1e9 : -1

function Words({ values }: { values: readonly string[] }) {
  const text = values.join(', ')
  return <span title={text}>{text || '–'}</span>
}
