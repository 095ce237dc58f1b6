import {
  CaretDownOutlined,
  CaretRightOutlined,
  DownloadOutlined,
  LockOutlined,
  PlusOutlined,
  UploadOutlined,
} from '@ant-design/icons'
import { Alert, Button, Checkbox, Grid, Input, Segmented, Select, Tooltip } from 'antd'
import { lazy, Suspense, useDeferredValue, useMemo, useState } from 'react'
import { useNavigate, useSearchParams } from 'react-router'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { useSession } from '@/app/session'
import { Answer } from '@/ui/Answer'
import { clear } from '@/ui/clear'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { Page } from '@/ui/Page'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts as documentTexts } from '../document/messages'
import { Phase } from '../document/Phase'
import { phaseOf, type Phase as PhaseWord } from '../document/reference'
import { CreateDialog } from './CreateDialog'
import { Author, Running } from './cells'
import { texts } from './messages'
import { idOf, matchesFilter, rowsOf, type Row } from './tree'
import { troubleOf, useDocuments, type Listed } from './useDocuments'
import './documents.css'

const ExportDialog = lazy(() => import('./ExportDialog'))
const ImportDialog = lazy(() => import('./ImportDialog'))

const phases: readonly PhaseWord[] = ['staged', 'newer', 'draft', 'released', 'deleted']

/** All documents of a namespace: what is in force, what waits, what is under way. */
export default function Documents() {
  const t = useMessages(texts)
  const words = useMessages(documentTexts)
  const namespace = useNamespace()
  const navigate = useNavigate()
  const session = useSession()
  const mayPublish = session.can(Role.DEVELOPER, namespace)
  const [parameters, setParameters] = useSearchParams()
  const [dialog, setDialog] = useState<'create' | 'export' | 'import'>()
  const search = parameters.get('q') ?? ''
  const kind = parameters.get('kind') ?? ''
  const phase = parameters.get('state') ?? ''
  const deleted = parameters.get('deleted') === '1' || phase === 'deleted'
  const wide = Grid.useBreakpoint().md !== false
  const flat = parameters.get('view') === 'list'
  const closedText = parameters.get('closed') ?? ''
  const closed = useMemo(() => new Set(closedText ? closedText.split(',').map(decodeURIComponent) : []), [closedText])
  const set = (change: Record<string, string>) =>
    setParameters(
      (before) => {
        for (const [name, value] of Object.entries(change)) {
          if (value) before.set(name, value)
          else before.delete(name)
        }
        return before
      },
      { replace: true },
    )
  const list = useDocuments(namespace, deleted)
  const all = list.data?.all
  const sought = useDeferredValue(search)
  const found = useMemo(
    () => (all ?? []).filter((one) => matchesFilter(one.document, { search: sought, kind, phase })),
    [all, sought, kind, phase],
  )
  const kinds = useMemo(() => [...new Set((all ?? []).map((one) => one.document.ref?.kind ?? ''))].sort(), [all])
  const rows = useMemo<Row[]>(
    () =>
      flat
        ? found.map((one) => ({ type: 'document', id: idOf(one), label: idOf(one), depth: 0, one }))
        : // What was searched for is shown, closed or not.
          rowsOf(found, sought ? new Set() : closed),
    [found, flat, closed, sought],
  )
  const toggle = (row: Row & { type: 'group' }) => {
    const next = new Set(closed)
    if (row.open) next.add(row.id)
    else next.delete(row.id)
    set({ closed: [...next].map(encodeURIComponent).join(',') })
  }
  const open = (row: Row) =>
    row.type === 'group'
      ? toggle(row)
      : void navigate(paths.document(namespace, row.one.document.ref?.kind ?? '', row.one.document.ref?.name ?? ''))
  const of = <T,>(row: Row, value: (one: Listed) => T) => (row.type === 'document' ? value(row.one) : null)
  const by = (compare: (a: Listed, b: Listed) => number) =>
    flat ? (a: Row, b: Row) => (a.type === 'document' && b.type === 'document' ? compare(a.one, b.one) : 0) : undefined
  const columns: Column<Row>[] = [
    {
      key: 'name',
      title: t.name,
      width: wide ? '3fr' : 208,
      compare: flat ? (a, b) => (a.id < b.id ? -1 : 1) : undefined,
      render: (row) => <Name row={row} namespace={namespace} toggle={toggle} />,
    },
    {
      key: 'state',
      title: t.state,
      width: 240,
      compare: by((a, b) => phases.indexOf(phaseOf(a.document)) - phases.indexOf(phaseOf(b.document))),
      render: (row) => of(row, (one) => <Phase document={one.document} detailed />),
    },
    {
      key: 'running',
      title: t.running,
      width: 160,
      compare: by((a, b) => troubleOf(b) - troubleOf(a)),
      render: (row) => of(row, (one) => <Running one={one} />),
    },
    {
      key: 'changed',
      title: t.changed,
      width: 112,
      compare: by((a, b) => Number((b.document.updatedAt?.seconds ?? 0n) - (a.document.updatedAt?.seconds ?? 0n))),
      render: (row) => of(row, (one) => <Ago at={dateOf(one.document.updatedAt)} />),
    },
    {
      key: 'author',
      title: t.author,
      width: '1fr',
      compare: by((a, b) => a.document.author.localeCompare(b.document.author)),
      render: (row) => of(row, (one) => <Author name={one.document.author} />),
    },
  ]
  return (
    <Page
      title={t.title}
      views="documents"
      actions={
        <>
          <Button icon={<DownloadOutlined />} onClick={() => setDialog('export')}>
            {t.export}
          </Button>
          <Tooltip title={mayPublish ? '' : t.needsDeveloper}>
            <Button icon={<UploadOutlined />} disabled={!mayPublish} onClick={() => setDialog('import')}>
              {t.import}
            </Button>
          </Tooltip>
          <Tooltip title={mayPublish ? '' : t.needsDeveloper}>
            <Button type="primary" icon={<PlusOutlined />} disabled={!mayPublish} onClick={() => setDialog('create')}>
              {t.create}
            </Button>
          </Tooltip>
        </>
      }
      same={{
        command: ['get', kind, '-n', namespace, ...(search ? ['--search', search] : []), deleted ? '--deleted' : ''],
        call: {
          method: 'gantry.v1.ReleaseService/List',
          message: {
            namespace,
            ...(kind ? { kind } : {}),
            ...(search ? { search } : {}),
            ...(deleted ? { includeDeleted: true } : {}),
          },
        },
      }}
    >
      <div className="g-toolbar g-documents-filter" role="search">
        <Input.Search
          className="g-documents-search"
          allowClear={clear}
          value={search}
          maxLength={200}
          placeholder={t.search}
          aria-label={t.search}
          onChange={(event) => set({ q: event.target.value })}
        />
        <Select
          aria-label={t.kind}
          value={kind}
          popupMatchSelectWidth={false}
          options={[{ value: '', label: t.allKinds }, ...kinds.map((one) => ({ value: one, label: one }))]}
          onChange={(value) => set({ kind: value })}
        />
        <Select
          aria-label={t.state}
          value={phase}
          popupMatchSelectWidth={false}
          options={[
            { value: '', label: t.allStates },
            ...phases.map((one) => ({ value: one, label: words.phase[one] })),
          ]}
          onChange={(value) => set({ state: value })}
        />
        <Segmented
          aria-label={t.view}
          value={flat ? 'list' : 'tree'}
          options={[
            { value: 'tree', label: t.tree },
            { value: 'list', label: t.list },
          ]}
          onChange={(value) => set({ view: value === 'list' ? 'list' : '' })}
        />
        <Checkbox
          checked={deleted}
          onChange={(event) =>
            set({ deleted: event.target.checked ? '1' : '', ...(phase === 'deleted' ? { state: '' } : {}) })
          }
        >
          {t.deleted}
        </Checkbox>
        <span className="g-secondary g-grow g-right" role="status">
          {all && t.count(found.length, all.length)}
        </span>
      </div>
      <section className="g-panel" aria-label={t.title}>
        <Answer query={list} count={8}>
          {({ all, missingNodes }) =>
            all.length === 0 ? (
              <Empty title={t.none}>{t.noneText}</Empty>
            ) : (
              <>
                {missingNodes.length > 0 && (
                  <Alert banner type="warning" title={words.applied.missing(missingNodes.join(', '))} />
                )}
                <VirtualTable
                  key={flat ? 'list' : 'tree'}
                  label={t.title}
                  rows={rows}
                  columns={columns}
                  rowKey={(row) => `${row.type}:${row.id}`}
                  onOpen={open}
                  height="min(76dvh, 960px)"
                  empty={<Empty title={t.noMatch}>{t.noMatchText}</Empty>}
                />
              </>
            )
          }
        </Answer>
      </section>
      {dialog === 'create' && <CreateDialog namespace={namespace} kinds={kinds} close={() => setDialog(undefined)} />}
      <Suspense>
        {dialog === 'export' && <ExportDialog namespace={namespace} kinds={kinds} close={() => setDialog(undefined)} />}
        {dialog === 'import' && <ImportDialog namespace={namespace} close={() => setDialog(undefined)} />}
      </Suspense>
    </Page>
  )
}

function Name({
  row,
  namespace,
  toggle,
}: {
  row: Row
  namespace: string
  toggle: (row: Row & { type: 'group' }) => void
}) {
  const t = useMessages(texts)
  const indent = { paddingInlineStart: row.depth * 20 }
  if (row.type === 'group')
    return (
      <span className="g-documents-indent" style={indent} title={row.id}>
        <button type="button" className="g-documents-group" aria-expanded={row.open} onClick={() => toggle(row)}>
          <span aria-hidden>{row.open ? <CaretDownOutlined /> : <CaretRightOutlined />}</span> {row.label}{' '}
          <span className="g-secondary g-num">{row.count}</span>
        </button>
      </span>
    )
  const { ref, sensitive } = row.one.document
  return (
    <span className="g-documents-indent" style={indent} title={`${ref?.kind}/${ref?.name}`}>
      <PageLink to={paths.document(namespace, ref?.kind ?? '', ref?.name ?? '')}>{row.label}</PageLink>
      {sensitive && (
        <Tooltip title={t.sensitive}>
          <LockOutlined className="g-documents-lock" aria-label={t.sensitive} />
        </Tooltip>
      )}
    </span>
  )
}
