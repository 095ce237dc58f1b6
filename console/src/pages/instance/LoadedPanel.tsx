import type { UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { AppliedReport } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { stateOfReport, type Loaded } from '@/pages/service/documents'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { Failure } from '@/ui/Failure'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'

/** Which versions of which documents the instance says that it runs. */
export function LoadedPanel({
  namespace,
  instance,
  documents,
  loaded,
}: {
  namespace: string
  instance: string
  /** What the service reads, without which it is not known what was loaded. */
  documents: UseQueryResult<unknown>
  loaded: UseQueryResult<Loaded[]>
}) {
  const t = useMessages(texts)
  const columns = useMemo<Column<AppliedReport>[]>(
    () => [
      {
        key: 'document',
        title: t.document,
        width: '1fr',
        render: ({ ref }) => (
          <span title={ref?.name}>
            <PageLink to={paths.document(namespace, ref?.kind ?? '', ref?.name ?? '')}>{ref?.name}</PageLink>
          </span>
        ),
      },
      { key: 'runs', title: t.runs, width: 48, align: 'right', render: ({ version }) => `v${version}` },
      { key: 'wanted', title: t.wanted, width: 72, align: 'right', render: (report) => `v${report.wantedVersion}` },
      {
        key: 'state',
        title: t.state,
        width: '2fr',
        render: (report) => {
          const state = stateOfReport(report)
          return (
            <span title={report.error || undefined}>
              {state === 'failed' ? (
                <StateTag state="failed">
                  {t.refused}: {report.error}
                </StateTag>
              ) : state === 'behind' ? (
                <StateTag state="pending">{t.behindVersion}</StateTag>
              ) : (
                <StateTag state="success">{t.right}</StateTag>
              )}
            </span>
          )
        },
      },
      { key: 'applied', title: t.applied, width: 96, render: (report) => <Ago at={dateOf(report.appliedAt)} /> },
    ],
    [t, namespace],
  )
  return (
    <Panel title={t.loaded} className="g-panel-flush">
      {documents.error && !loaded.data ? (
        <Failure error={documents.error} retry={() => void documents.refetch()} />
      ) : (
        <Answer query={loaded} count={2}>
          {(all) => (
            <VirtualTable
              label={t.loaded}
              rows={all.flatMap((one) => one.reports.filter((report) => report.subject?.instanceId === instance))}
              columns={columns}
              rowKey={({ ref }) => `${ref?.kind}/${ref?.name}`}
              height="240px"
              empty={<Empty title={t.nothingLoaded}>{t.nothingLoadedText}</Empty>}
            />
          )}
        </Answer>
      )}
    </Panel>
  )
}
