import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import { Tag } from 'antd'
import { useMemo } from 'react'
import { useSearchParams } from 'react-router'
import type { Document } from '@/api/gen/gantry/v1/release_pb'
import { releases } from '@/api/clients/releases'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { stateOfReport, targetOf, useLoaded, versionsOf, type Found, type Loaded } from './documents'
import { texts } from './messages'
import type { ServiceName } from './useService'

/** The documents that concern the service: what is in force, and what its instances run. */
export function ConfigurationTab({ of, found }: { of: ServiceName; found: UseQueryResult<Found> }) {
  const t = useMessages(texts)
  const { namespace } = of
  const [search, setSearch] = useSearchParams()
  const loaded = useLoaded(namespace, of.service, of.group, found.data)
  const reports = useMemo(() => new Map((loaded.data ?? []).map((one) => [targetOf(one.document), one])), [loaded.data])
  const documents = found.data?.documents ?? []
  const chosen = documents.find((document) => targetOf(document) === search.get('document')) ?? documents[0]
  const columns = useMemo<Column<Document>[]>(
    () => [
      {
        key: 'document',
        title: t.document,
        width: '1fr',
        render: (document) => (
          <span title={targetOf(document)}>
            <PageLink to={paths.document(namespace, document.ref?.kind ?? '', document.ref?.name ?? '')}>
              {document.ref?.name}
            </PageLink>
            {document.sensitive && <span className="g-secondary"> {t.sensitive}</span>}
          </span>
        ),
      },
      { key: 'force', title: t.inForce, width: '1fr', render: (document) => <InForce document={document} /> },
      {
        key: 'runs',
        title: t.runs,
        width: '2fr',
        render: (document) => <Runs loaded={reports.get(targetOf(document))} />,
      },
      {
        key: 'changed',
        title: t.changedAt,
        width: 112,
        render: (document) => <Ago at={dateOf(document.updatedAt)} />,
      },
    ],
    [t, namespace, reports],
  )
  const missing = [...new Set((loaded.data ?? []).flatMap((one) => one.missingNodes))]
  return (
    <>
      <Panel title={t.tabs.configuration} className="g-panel-flush">
        <Answer query={found} count={3}>
          {(answer) => (
            <>
              <VirtualTable
                label={t.tabs.configuration}
                rows={answer.documents}
                columns={columns}
                rowKey={targetOf}
                height="320px"
                selected={chosen && targetOf(chosen)}
                onOpen={(document) =>
                  setSearch((old) => {
                    const changed = new URLSearchParams(old)
                    changed.set('document', targetOf(document))
                    return changed
                  })
                }
                empty={<Empty title={t.noDocuments}>{t.noDocumentsText}</Empty>}
              />
              {answer.asked < answer.all && (
                <p className="g-service-note g-secondary">{t.searched(answer.asked, answer.all)}</p>
              )}
              {missing.length > 0 && <p className="g-service-note g-danger">{t.missing(missing.join(', '))}</p>}
            </>
          )}
        </Answer>
      </Panel>
      {chosen && chosen.releasedVersion > 0n && <Content namespace={namespace} document={chosen} />}
    </>
  )
}

function InForce({ document }: { document: Document }) {
  const t = useMessages(texts)
  const { rollout } = document
  const share = rollout?.cohort?.percent === undefined ? '' : `${rollout.cohort.percent}%`
  return (
    <>
      {document.releasedVersion > 0n ? t.released(String(document.releasedVersion)) : t.notReleased}
      {rollout && <Tag color="warning"> {t.staged(String(rollout.version), share)}</Tag>}
    </>
  )
}

function Runs({ loaded }: { loaded: Loaded | undefined }) {
  const t = useMessages(texts)
  if (!loaded) return <span className="g-secondary">–</span>
  const { reports } = loaded
  if (reports.length === 0) return <span className="g-secondary">{t.nobodyReports}</span>
  const failed = reports.filter((report) => stateOfReport(report) === 'failed').length
  const behind = reports.filter((report) => stateOfReport(report) === 'behind').length
  const versions = versionsOf(reports)
    .map(([version, count]) => t.runsVersion(String(version), count))
    .join(', ')
  return (
    <span title={versions}>
      {failed > 0 ? (
        <StateTag state="failed">{t.refusedBy(failed)}</StateTag>
      ) : behind > 0 ? (
        <StateTag state="pending">{t.behind(behind)}</StateTag>
      ) : (
        <StateTag state="success">{t.right}</StateTag>
      )}{' '}
      <span className="g-secondary">{versions}</span>
    </span>
  )
}

function Content({ namespace, document }: { namespace: string; document: Document }) {
  const t = useMessages(texts)
  const version = document.releasedVersion
  const content = useQuery({
    queryKey: key('documents', namespace, 'content', targetOf(document), String(version)),
    queryFn: ({ signal }) => releases.get({ ref: document.ref, version }, { signal }),
    // A version never changes.
    staleTime: Infinity,
  })
  return (
    <Panel title={t.content(document.ref?.name ?? '', String(version))}>
      <Answer query={content}>
        {({ version: known }) =>
          known?.withheld ? (
            <Empty title={t.withheld} />
          ) : (
            <pre className="g-pre g-service-content" tabIndex={0}>
              {new TextDecoder().decode(known?.content)}
            </pre>
          )
        }
      </Answer>
    </Panel>
  )
}
