import { useMemo } from 'react'
import { CheckStatus, type CheckState, type Instance } from '@/api/gen/gantry/v1/instance_pb'
import { useMessages } from '@/app/i18n'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'

/** What the checks of the instance found last. */
export function ChecksPanel({ instance }: { instance: Instance }) {
  const t = useMessages(texts)
  const columns = useMemo<Column<CheckState>[]>(
    () => [
      { key: 'check', title: t.check, width: 96, render: (check) => <span title={check.id}>{check.id}</span> },
      {
        key: 'status',
        title: t.status,
        width: 96,
        render: ({ status }) =>
          status === CheckStatus.PASSING ? (
            <StateTag state="success">{t.passing}</StateTag>
          ) : status === CheckStatus.WARNING ? (
            <StateTag state="pending">{t.warning}</StateTag>
          ) : status === CheckStatus.CRITICAL ? (
            <StateTag state="failed">{t.critical}</StateTag>
          ) : (
            <StateTag state="starting">{t.pending}</StateTag>
          ),
      },
      {
        key: 'output',
        title: t.output,
        width: '1fr',
        render: (check) => <span title={check.output}>{check.output || '–'}</span>,
      },
      { key: 'since', title: t.since, width: 96, render: (check) => <Ago at={dateOf(check.at)} /> },
    ],
    [t],
  )
  return (
    <Panel title={t.checks} className="g-panel-flush">
      <VirtualTable
        label={t.checks}
        rows={instance.checkStates}
        columns={columns}
        rowKey={(check) => check.id}
        height="240px"
        empty={<Empty title={t.noChecks}>{t.noChecksText}</Empty>}
      />
    </Panel>
  )
}
