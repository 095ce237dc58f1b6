import { SearchOutlined } from '@ant-design/icons'
import { Button, Input, Select, Tag } from 'antd'
import { useDeferredValue, useMemo, useState } from 'react'
import { useNavigate, useSearchParams } from 'react-router'
import type { Instance } from '@/api/gen/gantry/v1/instance_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { ActButtons, ActsMenu, useOperate, type Ask } from '@/pages/instance/operate/useOperate'
import { Answer } from '@/ui/Answer'
import { clear } from '@/ui/clear'
import { Empty } from '@/ui/Empty'
import { errorShare } from '@/ui/Figure'
import { dateOf, duration, rate, share } from '@/ui/format'
import { texts as shared } from '@/ui/messages'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { Mark } from '@/ui/Mark'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { compare, instanceRows, passing, searched, type InstanceRow } from './instanceRows'
import { texts } from './messages'
import { useInstanceFigures, useInstances, type ServiceName } from './useService'

const states = ['up', 'starting', 'draining', 'down', 'unhealthy'] as const

/** Every instance; marked ones are drained, set up and down, and weighed together. */
export function InstancesTab({ of }: { of: ServiceName }) {
  const t = useMessages(texts)
  const words = useMessages(shared).state
  const navigate = useNavigate()
  const [search, setSearch] = useSearchParams()
  const query = search.get('q') ?? ''
  const wanted = search.getAll('state').join(',')
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set())
  const list = useInstances(of)
  const figures = useInstanceFigures(of)
  const rows = useMemo(() => instanceRows(list.data ?? [], figures.data?.instances ?? []), [list.data, figures.data])
  const settled = useDeferredValue(query)
  const shown = useMemo(() => searched(rows, settled, wanted ? wanted.split(',') : []), [rows, settled, wanted])
  const { ask, dialog, refused } = useOperate({ ...of, all: list.data ?? [] })
  // What is gone meanwhile is not acted on.
  const targets = useMemo(() => rows.filter((row) => marked.has(row.id)).map((row) => row.instance), [rows, marked])
  const columns = useColumns({ of, shown, marked, setMarked, ask, refused })
  const set = (name: string, values: readonly string[]) =>
    setSearch(
      (old) => {
        const changed = new URLSearchParams(old)
        changed.delete(name)
        for (const value of values) if (value) changed.append(name, value)
        return changed
      },
      { replace: true },
    )
  return (
    <>
      <div className="g-toolbar" role="search">
        <Input
          allowClear={clear}
          type="search"
          className="g-service-search"
          prefix={<SearchOutlined aria-hidden />}
          placeholder={t.search}
          aria-label={t.search}
          value={query}
          onChange={(event) => set('q', [event.target.value])}
        />
        <Select
          mode="multiple"
          allowClear
          maxTagCount="responsive"
          className="g-service-state"
          placeholder={t.state}
          aria-label={t.state}
          value={wanted ? wanted.split(',') : []}
          options={[
            ...states.map((value) => ({ value, label: words[value] })),
            { value: 'protected', label: t.protected },
          ]}
          onChange={(values: string[]) => set('state', values)}
        />
        <span className="g-secondary g-num g-service-count" role="status">
          {t.shown(shown.length, rows.length)}
        </span>
      </div>
      {targets.length > 0 && (
        <div className="g-toolbar g-service-marked" role="toolbar" aria-label={t.selected(targets.length)}>
          <strong className="g-num">{t.selected(targets.length)}</strong>
          <ActButtons targets={targets} ask={ask} refused={refused} />
          <Button type="link" onClick={() => setMarked(new Set())}>
            {t.clearSelection}
          </Button>
        </div>
      )}
      <section className="g-panel g-panel-flush" aria-label={t.tabs.instances}>
        <div className="g-panel-body">
          <Answer query={list} count={8}>
            {() => (
              <VirtualTable
                label={t.tabs.instances}
                rows={shown}
                columns={columns}
                rowKey={(row) => row.id}
                height="max(320px, calc(100dvh - 300px))"
                onOpen={(row) => void navigate(paths.instance(of.namespace, of.service, row.id, of.group))}
                empty={
                  rows.length === 0 ? (
                    <Empty title={t.noInstances}>{t.noInstancesText}</Empty>
                  ) : (
                    <Empty title={t.nothingFits} />
                  )
                }
              />
            )}
          </Answer>
        </div>
      </section>
      {dialog}
    </>
  )
}

function useColumns({
  of,
  shown,
  marked,
  setMarked,
  ask,
  refused,
}: {
  of: ServiceName
  shown: readonly InstanceRow[]
  marked: ReadonlySet<string>
  setMarked: (marked: ReadonlySet<string>) => void
  ask: Ask
  refused: string | undefined
}): Column<InstanceRow>[] {
  const t = useMessages(texts)
  const { namespace, service, group } = of
  return useMemo(() => {
    const all = shown.length > 0 && shown.every((row) => marked.has(row.id))
    const some = shown.some((row) => marked.has(row.id))
    // A fleet without lanes or checks has no columns of dashes.
    const text = (key: 'version' | 'lane' | 'zone' | 'release', title: string): Column<InstanceRow>[] =>
      shown.some((row) => row[key])
        ? [
            {
              key,
              title,
              width: 72,
              compare: (a, b) => compare(a[key], b[key]),
              render: (row) => <span title={row[key]}>{row[key] || '–'}</span>,
            },
          ]
        : []
    const checks: Column<InstanceRow>[] = shown.some((row) => row.instance.checkStates.length > 0)
      ? [{ key: 'checks', title: t.checks, width: 96, render: (row) => <Checks instance={row.instance} /> }]
      : []
    return [
      {
        key: 'mark',
        title: t.markAll,
        head: (
          <Mark
            label={t.markAll}
            checked={all ? true : some ? 'some' : false}
            onChange={() => setMarked(all ? new Set() : new Set(shown.map((row) => row.id)))}
          />
        ),
        width: 24,
        render: (row) => (
          <Mark
            label={t.mark(row.id)}
            checked={marked.has(row.id)}
            onChange={(checked) => {
              const next = new Set(marked)
              if (checked) next.add(row.id)
              else next.delete(row.id)
              setMarked(next)
            }}
          />
        ),
      },
      {
        key: 'id',
        title: t.instance,
        width: '2fr',
        compare: (a, b) => compare(a.id, b.id),
        render: (row) => (
          <span title={row.id}>
            <PageLink to={paths.instance(namespace, service, row.id, group)} className="g-mono">
              {row.id}
            </PageLink>
          </span>
        ),
      },
      {
        key: 'state',
        title: t.state,
        width: 112,
        compare: (a, b) => compare(a.state, b.state),
        render: (row) => <InstanceState instance={row.instance} state={row.state} />,
      },
      {
        key: 'weight',
        title: t.weight,
        width: 64,
        align: 'right',
        compare: (a, b) => a.weight - b.weight,
        render: (row) => <Weight instance={row.instance} weight={row.weight} />,
      },
      ...text('version', t.version),
      ...text('lane', t.lane),
      ...text('zone', t.zone),
      ...(shown.some((row) => row.release !== row.version) ? text('release', t.release) : []),
      ...checks,
      {
        key: 'address',
        title: t.address,
        width: '2fr',
        compare: (a, b) => compare(a.address, b.address),
        render: (row) => (
          <span className="g-mono" title={row.address}>
            {row.address}
          </span>
        ),
      },
      {
        key: 'rate',
        title: t.calls,
        width: 64,
        align: 'right',
        compare: (a, b) => (a.figure?.figures?.rate ?? -1) - (b.figure?.figures?.rate ?? -1),
        render: (row) => rate(row.figure?.figures?.rate),
      },
      {
        key: 'errors',
        title: t.errors,
        width: 64,
        align: 'right',
        compare: (a, b) => (errorShare(a.figure?.figures) ?? -1) - (errorShare(b.figure?.figures) ?? -1),
        render: ({ figure }) => (
          <span className={figure?.figures && figure.figures.failed > 0n ? 'g-danger' : undefined}>
            {share(errorShare(figure?.figures))}
          </span>
        ),
      },
      {
        key: 'p99',
        title: t.p99,
        width: 64,
        align: 'right',
        render: ({ figure }) => duration(figure?.figures?.p99),
      },
      {
        key: 'age',
        title: t.age,
        width: 88,
        compare: (a, b) => Number((b.instance.registeredAt?.seconds ?? 0n) - (a.instance.registeredAt?.seconds ?? 0n)),
        render: (row) => <Ago at={dateOf(row.instance.registeredAt)} />,
      },
      {
        key: 'actions',
        title: t.actions,
        head: <span className="g-sr">{t.actions}</span>,
        width: 32,
        render: (row) => <ActsMenu target={row.instance} ask={ask} refused={refused} />,
      },
    ]
  }, [t, namespace, service, group, shown, marked, setMarked, ask, refused])
}

/** State, with whether an operator set it, and whether it is kept by protection. */
export function InstanceState({ instance, state }: { instance: Instance; state: InstanceRow['state'] }) {
  const t = useMessages(texts)
  const marks = [
    instance.override?.status ? t.setBy(instance.override.author) : '',
    instance.healthReason,
    instance.provisional ? t.provisional : '',
  ].filter(Boolean)
  return (
    <span title={marks.join(' · ') || undefined}>
      <StateTag state={state} />
      {instance.override?.status ? <span className="g-secondary"> *</span> : null}
      {instance.protected && <Tag className="g-service-protected">{t.protected}</Tag>}
      {marks.length > 0 && <span className="g-sr"> {marks.join(', ')}</span>}
    </span>
  )
}

function Weight({ instance, weight }: { instance: Instance; weight: number }) {
  const t = useMessages(texts)
  const own = String(instance.weight ?? 1)
  if (instance.override?.weight === undefined) return <>{weight}</>
  return (
    <span title={`${t.setBy(instance.override.author)} · ${t.ownWeight(own)}`}>
      {weight}
      <span className="g-secondary"> *</span>
    </span>
  )
}

function Checks({ instance }: { instance: Instance }) {
  const t = useMessages(texts)
  const all = instance.checkStates.length
  if (all === 0) return <>–</>
  const good = passing(instance.checkStates)
  return <StateTag state={good === all ? 'success' : 'failed'}>{t.passing(good, all)}</StateTag>
}
