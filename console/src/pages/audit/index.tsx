import { DownloadOutlined } from '@ant-design/icons'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { App, AutoComplete, Button, Dropdown, Input, Select } from 'antd'
import { useMemo, useState } from 'react'
import { useSearchParams } from 'react-router'
import type { AuditRecord } from '@/api/gen/gantry/v1/access_pb'
import { access } from '@/api/clients/access'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { PageLink } from '@/app/PageLink'
import { clear } from '@/ui/clear'
import { Empty } from '@/ui/Empty'
import { Failure } from '@/ui/Failure'
import { dateOf } from '@/ui/format'
import { Loading } from '@/ui/Loading'
import { Page, Panel } from '@/ui/Page'
import { Time } from '@/ui/Time'
import { useTimeRange, type UsedTimeRange } from '@/ui/timeRange'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { Detail } from './Detail'
import { collect, save, type Format } from './export'
import { texts } from './messages'
import { readFilter, targetPath, type Filter } from './model'
import './audit.css'

const pageSize = 200

/** Who did what, when, from where. */
export default function Audit() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const range = useTimeRange({ from: '-24h', to: 'now' })
  const [search, setSearch] = useSearchParams()
  const { namespace: where, actor, action, target } = readFilter(search, namespace)
  const filter = useMemo<Filter>(() => ({ namespace: where, actor, action, target }), [where, actor, action, target])
  const set = (changes: Record<string, string>, replace = false) =>
    setSearch(
      (old) => {
        const next = new URLSearchParams(old)
        for (const [name, value] of Object.entries(changes)) {
          if (value) next.set(name, value)
          else next.delete(name)
        }
        return next
      },
      { replace },
    )
  const query = useInfiniteQuery({
    queryKey: key('access', namespace, 'audit', filter, range.from, range.to),
    initialPageParam: '',
    queryFn: ({ pageParam, signal }) =>
      access.listAudit({ ...filter, ...range.timestamps(), pageSize, pageToken: pageParam }, { signal }),
    getNextPageParam: (page) => page.nextPageToken || undefined,
  })
  const pages = query.data?.pages
  const records = useMemo(() => pages?.flatMap((page) => page.records) ?? [], [pages])
  const newer = useNewer(namespace, filter, range, pages && (records[0]?.id ?? ''))
  const columns = useColumns(namespace, filter.namespace === '')
  const chosen = search.get('id') ?? ''
  return (
    <Page
      title={t.title}
      views="audit"
      actions={
        <>
          <TimeRangePicker range={range} />
          <Export filter={filter} range={range} />
        </>
      }
      same={{
        command: commandOf(filter, range),
        call: { method: 'gantry.v1.AccessService/ListAudit', message: { ...filter, pageSize } },
      }}
    >
      <Filters namespace={namespace} search={search} set={set} />
      {query.error && <Failure error={query.error} retry={() => void query.refetch()} />}
      {newer && (
        <Button block onClick={() => void query.refetch()} loading={query.isRefetching}>
          {t.newer}
        </Button>
      )}
      <Panel
        title={t.list}
        className="g-panel-flush"
        extra={pages && <span className="g-secondary">{t.loaded(records.length)}</span>}
      >
        {!pages && !query.error && (
          <div className="g-audit-loading">
            <Loading count={10} />
          </div>
        )}
        {pages && (
          <>
            <VirtualTable
              label={t.list}
              rows={records}
              columns={columns}
              rowKey={(record) => record.id}
              selected={chosen}
              onOpen={(record) => set({ id: record.id })}
              empty={query.hasNextPage ? null : <Empty title={t.none}>{t.noneText}</Empty>}
            />
            <div className="g-audit-more">
              {query.hasNextPage ? (
                <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                  {records.length === 0 ? t.scanning : t.older}
                </Button>
              ) : (
                records.length > 0 && <span className="g-secondary">{t.all}</span>
              )}
            </div>
          </>
        )}
      </Panel>
      <Detail
        namespace={namespace}
        open={chosen !== '' && pages !== undefined}
        record={records.find((record) => record.id === chosen)}
        close={() => set({ id: '' })}
        only={(changes) => set({ ...changes, id: '' })}
      />
    </Page>
  )
}

/** Whether something newer than the first record is there. The list itself does not move under the reader's eyes. */
function useNewer(namespace: string, filter: Filter, range: UsedTimeRange, first: string | undefined): boolean {
  const newest = useQuery({
    queryKey: key('changes', namespace, 'audit-newest', filter, range.from, range.to),
    queryFn: ({ signal }) => access.listAudit({ ...filter, ...range.timestamps(), pageSize: 1 }, { signal }),
    enabled: range.to === 'now' && first !== undefined,
  })
  const id = newest.data?.records[0]?.id
  return first !== undefined && id !== undefined && id > first
}

function Filters({
  namespace,
  search,
  set,
}: {
  namespace: string
  search: URLSearchParams
  set: (changes: Record<string, string>, replace?: boolean) => void
}) {
  const t = useMessages(texts)
  return (
    <div className="g-toolbar g-audit-filters">
      <Select
        aria-label={t.scope}
        value={search.get('where') ?? ''}
        onChange={(value) => set({ where: value })}
        popupMatchSelectWidth={false}
        options={[
          { value: '', label: t.here(namespace) },
          { value: 'all', label: t.everywhere },
          { value: 'cluster', label: t.cluster },
        ]}
      />
      <AutoComplete
        className="g-audit-action"
        aria-label={t.action}
        placeholder={t.anyAction}
        allowClear
        value={search.get('action') ?? ''}
        onChange={(value: string | undefined) => set({ action: value ?? '' }, true)}
        options={Object.entries(t.actions).map(([word, label]) => ({
          value: `${word}.`,
          label: (
            <>
              {label} <code className="g-secondary">{word}.</code>
            </>
          ),
        }))}
      />
      <Typed label={t.actor} hint={t.actorHint} value={search.get('actor') ?? ''} done={(actor) => set({ actor })} />
      <Typed
        label={t.target}
        hint={t.targetHint}
        value={search.get('target') ?? ''}
        done={(target) => set({ target })}
      />
    </div>
  )
}

/** A word that must be whole to be of use: it counts when Enter is pressed or the field is left. */
function Typed({
  label,
  hint,
  value,
  done,
}: {
  label: string
  hint: string
  value: string
  done: (text: string) => void
}) {
  const [text, setText] = useState<string>()
  const finish = () => {
    if (text !== undefined && text.trim() !== value) done(text.trim())
    setText(undefined)
  }
  return (
    <Input
      className="g-audit-typed"
      aria-label={label}
      prefix={<span className="g-secondary">{label}</span>}
      placeholder={hint}
      allowClear={{ ...clear, disabled: false }}
      value={text ?? value}
      onChange={(event) => {
        setText(event.target.value)
        // The cross that empties it.
        if (event.target.value === '' && event.type === 'click') done('')
      }}
      onPressEnter={finish}
      onBlur={finish}
    />
  )
}

function Export({ filter, range }: { filter: Filter; range: UsedTimeRange }) {
  const t = useMessages(texts)
  const { message, notification } = App.useApp()
  const [busy, setBusy] = useState(false)
  const run = async (format: Format) => {
    setBusy(true)
    try {
      const { records, cut } = await collect(filter, range.timestamps())
      save(records, format, new Date())
      if (cut) void message.warning(t.exportCut(records.length), 8)
      else void message.success(t.exported(records.length))
    } catch (error) {
      notification.error({ title: t.export, description: <Failure error={error} compact />, duration: 0 })
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dropdown
      trigger={['click']}
      disabled={busy}
      menu={{
        items: [
          { key: 'json', label: t.exportJson },
          { key: 'csv', label: t.exportCsv },
        ],
        onClick: ({ key: format }) => void run(format === 'csv' ? 'csv' : 'json'),
      }}
    >
      <Button icon={<DownloadOutlined />} loading={busy}>
        {t.export}
      </Button>
    </Dropdown>
  )
}

function useColumns(here: string, mixed: boolean): Column<AuditRecord>[] {
  const t = useMessages(texts)
  return useMemo(() => {
    const text = (value: string) => <span title={value}>{value}</span>
    const namespace: Column<AuditRecord> = {
      key: 'namespace',
      title: t.namespace,
      width: 112,
      render: (record) => text(record.namespace),
    }
    return [
      { key: 'time', title: t.time, width: 168, render: (record) => <Time at={dateOf(record.at)} /> },
      { key: 'who', title: t.who, width: '1fr', render: (record) => text(record.actor) },
      {
        key: 'what',
        title: t.what,
        width: 168,
        render: (record) => <code title={record.action}>{record.action}</code>,
      },
      ...(mixed ? [namespace] : []),
      {
        key: 'target',
        title: t.to,
        width: '2fr',
        render: (record) => {
          const path = targetPath(record, here)
          return (
            <span title={record.target}>{path ? <PageLink to={path}>{record.target}</PageLink> : record.target}</span>
          )
        },
      },
      { key: 'message', title: t.message, width: '1.5fr', render: (record) => text(record.message) },
      { key: 'source', title: t.source, width: 168, render: (record) => <code>{record.source}</code> },
    ]
  }, [here, mixed, t])
}

function commandOf(filter: Filter, range: UsedTimeRange): string[] {
  const flag = (name: string, value: string) => (value ? [name, value] : [])
  return [
    'audit',
    ...(filter.namespace === '' ? ['-A'] : ['-n', filter.namespace]),
    ...flag('--actor', filter.actor),
    ...flag('--action', filter.action),
    ...flag('--target', filter.target),
    '--since',
    range.from.replace(/^-/, ''),
    ...(range.to === 'now' ? [] : ['--until', range.to.replace(/^-/, '')]),
  ]
}
