import { useQuery } from '@tanstack/react-query'
import { Progress } from 'antd'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import type { StatusResponse } from '@/api/gen/gantry/v1/cluster_pb'
import { access } from '@/api/clients/access'
import { cluster } from '@/api/clients/cluster'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { useSession } from '@/app/session'
import { Answer } from '@/ui/Answer'
import { Figure } from '@/ui/Figure'
import { bytes, count, dateOf, share } from '@/ui/format'
import { Page, Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { useTimeRange } from '@/ui/timeRange'
import { TimeRangePicker } from '@/ui/TimeRangePicker'
import { Figures } from './Figures'
import { texts } from './messages'
import { bears, healthOf, healthState, isScarce, rowsOf, versions } from './model'
import { Nodes } from './Nodes'
import './cluster.css'

/** Whether the cluster can write, how much room it has, and who is in it. */
export default function Cluster() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const range = useTimeRange({ from: '-1h', to: 'now' })
  const status = useQuery({
    queryKey: key('figures', namespace, 'cluster-status'),
    queryFn: ({ signal }) => cluster.status({}, { signal }),
  })
  const health = status.data && healthOf(status.data)
  return (
    <Page
      title={t.title}
      tag={health && <StateTag state={healthState[health]}>{t.health[health]}</StateTag>}
      actions={<TimeRangePicker range={range} />}
      same={{ command: ['status'], call: { method: 'gantry.v1.ClusterService/Status', message: {} } }}
    >
      <Answer query={status} shape="cards" count={5}>
        {(answer) => (
          <>
            <Warnings status={answer} />
            <Cards status={answer} />
            <Nodes status={answer} />
          </>
        )}
      </Answer>
      <Figures namespace={namespace} range={range} />
      <Backup namespace={namespace} />
    </Page>
  )
}

function Warnings({ status }: { status: StatusResponse }) {
  const t = useMessages(texts)
  const several = versions(status)
  const looked = [...(several.length > 0 ? [t.versionsDiffer(several.join(', '))] : []), ...status.warnings]
  const stopped = !status.quorum ? t.noQuorumText : status.unwritable
  if (!stopped && looked.length === 0) return null
  return (
    <ul className="g-panel g-cluster-warnings" aria-label={t.warnings}>
      {stopped && (
        <li>
          <StateTag state="unavailable">{!status.quorum ? t.health.noQuorum : t.health.unwritable}</StateTag>
          <span className="g-break">{stopped}</span>
        </li>
      )}
      {looked.map((text) => (
        <li key={text}>
          <StateTag state="degraded">{t.health.look}</StateTag>
          <span className="g-break">{text}</span>
        </li>
      ))}
    </ul>
  )
}

function Cards({ status }: { status: StatusResponse }) {
  const t = useMessages(texts)
  const rows = rowsOf(status)
  const up = rows.filter((row) => row.state === 'up').length
  const used =
    status.databaseQuotaBytes > 0n ? Number(status.databaseBytes) / Number(status.databaseQuotaBytes) : undefined
  const lag = Number(status.revision - status.mirroredRevision)
  const loss = !status.quorum
    ? t.health.noQuorum
    : status.members.length === 1
      ? t.alone
      : status.members.length > 1
        ? t.bears(bears(status))
        : t.external
  return (
    <div className="g-cards">
      <Figure
        label={t.nodes}
        value={t.nodesUp(up, rows.length)}
        tone={up < rows.length ? 'bad' : undefined}
        detail={loss}
      />
      <Figure
        label={t.database}
        value={bytes(status.databaseBytes)}
        tone={used !== undefined && used > 0.9 ? 'bad' : used !== undefined && used > 0.75 ? 'warn' : undefined}
        detail={
          used === undefined ? (
            t.noQuota
          ) : (
            <>
              {t.ofQuota(bytes(status.databaseQuotaBytes), share(used))}
              <Progress percent={used * 100} showInfo={false} size="small" aria-label={t.database} />
            </>
          )
        }
      />
      <Figure
        label={t.disk}
        value={bytes(status.diskFreeBytes)}
        tone={isScarce(status.diskFreeBytes) ? 'bad' : undefined}
        detail={
          status.node && status.node.diskBytes > 0n ? t.diskOf(bytes(status.node.diskBytes), t.diskText) : t.diskText
        }
      />
      <Figure label={t.revision} value={count(status.revision)} detail={lag > 0 ? t.lag(count(lag)) : t.mirrored} />
      <Figure
        label={t.holds}
        value={count(status.instances)}
        detail={
          <>
            {t.holdsText(count(status.services), count(status.instances), count(status.documents))}
            {status.provisional > 0n && <div className="g-danger">{t.provisional(count(status.provisional))}</div>}
          </>
        }
      />
    </div>
  )
}

/** When the newest backup was taken, and how one is. */
function Backup({ namespace }: { namespace: string }) {
  const t = useMessages(texts)
  const may = useSession().can(Role.ADMIN, '*')
  const newest = useQuery({
    queryKey: key('access', namespace, 'backups'),
    queryFn: async ({ signal }) => {
      // A page can be empty while there are more: only some records in many are backups.
      let pageToken = ''
      for (let i = 0; i < 10; i++) {
        const page = await access.listAudit(
          { namespace: '*', action: 'cluster.backup', pageSize: 1, pageToken },
          { signal },
        )
        if (page.records[0]) return page.records[0]
        pageToken = page.nextPageToken
        if (!pageToken) break
      }
      return null
    },
    enabled: may,
  })
  const example = `gantry backup gantry-${new Date().toISOString().slice(0, 10)}.backup`
  return (
    <Panel title={t.backup}>
      <div className="g-cluster-backup">
        {!may && <p className="g-secondary">{t.backupForbidden}</p>}
        {may && (
          <Answer query={newest} count={1}>
            {(record) =>
              record ? (
                <p>
                  <StateTag state="success">{t.backupLast}</StateTag> <Ago at={dateOf(record.at)} />{' '}
                  <span className="g-secondary">{t.backupBy(record.actor)}</span>
                </p>
              ) : (
                <p>
                  <StateTag state="degraded">{t.backupNone}</StateTag>
                </p>
              )
            }
          </Answer>
        )}
        <p className="g-secondary">{t.backupText}</p>
        <pre className="g-pre">{example}</pre>
      </div>
    </Panel>
  )
}
