import { useQueryClient } from '@tanstack/react-query'
import { App, Button, Tag, Tooltip } from 'antd'
import { useMemo } from 'react'
import { Role as Right } from '@/api/gen/gantry/v1/access_pb'
import type { StatusResponse } from '@/api/gen/gantry/v1/cluster_pb'
import { cluster } from '@/api/clients/cluster'
import { useMessages } from '@/app/i18n'
import { useSession } from '@/app/session'
import { useConfirm } from '@/ui/Confirm'
import { bytes, count, dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import type { State } from '@/ui/states'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'
import { isLagging, isScarce, rowsOf, type Row, type RowState } from './model'

const words: Record<RowState, State> = { up: 'up', missing: 'unhealthy', notStarted: 'down', silent: 'unhealthy' }

/** Nodes that run, and members that should. */
export function Nodes({ status }: { status: StatusResponse }) {
  const t = useMessages(texts)
  const rows = useMemo(() => rowsOf(status), [status])
  const columns = useColumns(status)
  return (
    <Panel
      title={t.nodes}
      className="g-panel-flush"
      extra={
        <span className="g-secondary">
          {t.id} <code>{status.clusterId}</code>, {status.stateMode === 'external' ? t.external : t.embedded},{' '}
          {t.format(status.formatVersion)}
        </span>
      }
    >
      <VirtualTable label={t.nodes} rows={rows} columns={columns} rowKey={(row) => row.key} rowHeight={56} />
    </Panel>
  )
}

function useColumns(status: StatusResponse): Column<Row>[] {
  const t = useMessages(texts)
  const answering = status.node?.id
  const removable = status.members.length > 0
  const locked = status.members.length === 1 ? t.lastMember : status.quorum ? undefined : t.needsQuorum
  return useMemo(() => {
    const removal: Column<Row> = {
      key: 'remove',
      title: '',
      width: 96,
      align: 'right',
      render: (row) => row.member && <Remove row={row} locked={locked} />,
    }
    return [
      {
        key: 'name',
        title: t.table.name,
        width: '1fr',
        render: (row) => (
          <>
            <div className="g-cut" title={row.name}>
              <strong>{row.name}</strong> {row.node?.id === answering && <Tag>{t.table.answers}</Tag>}
            </div>
            <Address row={row} />
          </>
        ),
      },
      {
        key: 'state',
        title: t.table.state,
        width: 136,
        render: (row) => <StateTag state={words[row.state]}>{t.row[row.state]}</StateTag>,
      },
      {
        key: 'role',
        title: t.table.role,
        width: 64,
        render: (row) => (row.role === 'leader' ? <strong>{t.role.leader}</strong> : t.role[row.role]),
      },
      {
        key: 'lag',
        title: t.lagColumn,
        width: 64,
        align: 'right',
        render: (row) => <span className={isLagging(row.lag) ? 'g-danger' : undefined}>{count(row.lag)}</span>,
      },
      {
        key: 'disk',
        title: t.table.disk,
        width: 136,
        align: 'right',
        render: (row) => (
          <span className={row.node && isScarce(row.node.diskFreeBytes) ? 'g-danger' : undefined}>
            {row.node && row.node.diskBytes > 0n
              ? t.freeOf(bytes(row.node.diskFreeBytes), bytes(row.node.diskBytes))
              : bytes(row.node?.diskFreeBytes || undefined)}
          </span>
        ),
      },
      {
        key: 'memory',
        title: t.table.memory,
        width: 80,
        align: 'right',
        render: (row) => bytes(row.node?.memoryBytes || undefined),
      },
      {
        key: 'sessions',
        title: t.table.sessions,
        width: 72,
        align: 'right',
        render: (row) => count(row.node?.sessions),
      },
      {
        key: 'owned',
        title: t.table.owned,
        width: 72,
        align: 'right',
        render: (row) => count(row.node?.ownedInstances),
      },
      { key: 'version', title: t.table.version, width: 80, render: (row) => row.node?.version },
      { key: 'uptime', title: t.table.uptime, width: 96, render: (row) => <Ago at={dateOf(row.node?.startedAt)} /> },
      ...(removable ? [removal] : []),
    ]
  }, [t, answering, locked, removable])
}

/** Where it is reached; of a member that does not run, where the others look for it. */
function Address({ row }: { row: Row }) {
  const peers = row.member?.peerUrls.join(', ') ?? ''
  const all = row.node ? `HTTP ${row.node.httpAddress}, gRPC ${row.node.grpcAddress}${peers && `, ${peers}`}` : peers
  return (
    <div className="g-cut g-secondary" title={all}>
      <code>{row.node?.httpAddress || peers}</code>
    </div>
  )
}

/** Takes a member out. locked is why nobody may now. */
function Remove({ row, locked }: { row: Row; locked: string | undefined }) {
  const t = useMessages(texts)
  const may = useSession().can(Right.ADMIN, '*')
  const { message } = App.useApp()
  const confirm = useConfirm()
  const client = useQueryClient()
  const ask = () =>
    confirm({
      title: t.removeTitle(row.name),
      what: (
        <>
          <p>{t.removeWhat(row.name)}</p>
          {row.node && <p className="g-danger">{t.removeLive(row.name)}</p>}
        </>
      ),
      undoable: false,
      action: t.remove,
      typed: row.name,
      run: async () => {
        // By its id: a name can be that of a member which has taken its place.
        await cluster.removeMember({ member: row.member!.id })
        void message.success(t.removed(row.name))
        await client.invalidateQueries({ predicate: ({ queryKey }) => queryKey.includes('cluster-status') })
      },
    })
  return (
    <Tooltip title={locked ?? (may ? undefined : t.mayNot)}>
      <Button
        size="small"
        danger
        disabled={locked !== undefined || !may}
        aria-label={t.removeThis(row.name)}
        onClick={ask}
      >
        {t.remove}
      </Button>
    </Tooltip>
  )
}
