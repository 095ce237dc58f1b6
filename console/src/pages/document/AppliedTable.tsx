import { Alert, Tooltip } from 'antd'
import type { UseQueryResult } from '@tanstack/react-query'
import type { AppliedReport, AppliedResponse } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import type { State } from '@/ui/states'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { applyingOf, progressOf, type Applying, type Progress } from './history'
import { texts } from './messages'

const states: Record<Applying, State> = { applied: 'success', waiting: 'pending', failed: 'failed' }
const order: Record<Applying, number> = { failed: 0, waiting: 1, applied: 2 }

/** How far instances are: a bar, and the same in words. */
export function ProgressBar({ progress, label }: { progress: Progress; label: string }) {
  const t = useMessages(texts).applied
  const { applied, waiting, failed, total } = progress
  const words = t.progress(applied, total, failed, waiting)
  return (
    <div className="g-document-progress">
      <div
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={applied}
        aria-valuetext={words}
        className="g-document-bar"
      >
        {total > 0 && (
          <>
            <span className="g-document-bar-applied" style={{ flexGrow: applied }} />
            <span className="g-document-bar-failed" style={{ flexGrow: failed }} />
            <span className="g-document-bar-waiting" style={{ flexGrow: waiting }} />
          </>
        )}
      </div>
      <span className={failed > 0 ? 'g-danger' : 'g-secondary'}>{words}</span>
    </div>
  )
}

/** Who runs which version. Those that have not applied come first. */
export function AppliedTable({ applied }: { applied: UseQueryResult<AppliedResponse> }) {
  const t = useMessages(texts).applied
  const namespace = useNamespace()
  const columns: Column<AppliedReport>[] = [
    {
      key: 'state',
      title: t.state,
      width: 128,
      compare: (a, b) => order[applyingOf(a)] - order[applyingOf(b)],
      render: (report) => <StateTag state={states[applyingOf(report)]}>{t[applyingOf(report)]}</StateTag>,
    },
    {
      key: 'service',
      title: t.service,
      width: '1fr',
      compare: (a, b) => serviceOf(a).localeCompare(serviceOf(b)),
      render: (report) => (
        <PageLink to={paths.service(namespace, serviceOf(report), report.subject?.service?.group || undefined)}>
          {serviceOf(report)}
        </PageLink>
      ),
    },
    {
      key: 'instance',
      title: t.instance,
      width: '2fr',
      compare: (a, b) => instanceOf(a).localeCompare(instanceOf(b)),
      render: (report) => (
        <PageLink
          to={paths.instance(
            namespace,
            serviceOf(report),
            instanceOf(report),
            report.subject?.service?.group || undefined,
          )}
        >
          <span className="g-mono">{instanceOf(report)}</span>
        </PageLink>
      ),
    },
    {
      key: 'version',
      title: t.runs,
      width: 72,
      align: 'right',
      compare: (a, b) => Number(a.version - b.version),
      render: runs,
    },
    {
      key: 'wanted',
      title: t.wanted,
      width: 80,
      align: 'right',
      compare: (a, b) => Number(a.wantedVersion - b.wantedVersion),
      render: (report) => String(report.wantedVersion),
    },
    { key: 'since', title: t.since, width: 120, render: (report) => <Ago at={dateOf(report.appliedAt)} /> },
    {
      key: 'error',
      title: t.why,
      width: '2fr',
      render: (report) => (
        <Tooltip title={report.error}>
          <span className="g-danger">{report.error}</span>
        </Tooltip>
      ),
    },
  ]
  return (
    <Panel title={t.title} className="g-panel-flush">
      <Answer query={applied}>
        {(answer) => (
          <>
            {answer.missingNodes.length > 0 && (
              <Alert banner type="warning" title={t.missing(answer.missingNodes.join(', '))} />
            )}
            {answer.reports.length === 0 ? (
              <Empty title={t.none}>{t.noneText}</Empty>
            ) : (
              <>
                <div className="g-document-pad">
                  <ProgressBar progress={progressOf(answer.reports)} label={t.title} />
                </div>
                <VirtualTable
                  label={t.title}
                  rows={answer.reports}
                  columns={columns}
                  rowKey={(report) => `${serviceOf(report)}/${instanceOf(report)}/${report.node}`}
                  initialSort={{ key: 'state', descending: false }}
                />
              </>
            )}
          </>
        )}
      </Answer>
    </Panel>
  )
}

const serviceOf = (report: AppliedReport) => report.subject?.service?.service ?? ''
const instanceOf = (report: AppliedReport) => report.subject?.instanceId ?? ''
const runs = (report: AppliedReport) => String(report.version)
