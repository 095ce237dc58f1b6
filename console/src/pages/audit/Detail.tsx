import { Button, Drawer } from 'antd'
import type { AuditRecord } from '@/api/gen/gantry/v1/access_pb'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { Diff } from '@/ui/Diff'
import { dateOf } from '@/ui/format'
import { Time } from '@/ui/Time'
import { texts } from './messages'
import { pretty, targetPath } from './model'

/** One change, with what it was before and after. */
export function Detail({
  namespace,
  open,
  record,
  close,
  only,
}: {
  namespace: string
  open: boolean
  record: AuditRecord | undefined
  close: () => void
  only: (filter: { actor: string } | { target: string }) => void
}) {
  const t = useMessages(texts)
  return (
    <Drawer
      open={open}
      onClose={close}
      size="min(720px, 100vw)"
      title={record ? <code>{record.action}</code> : t.detail}
      destroyOnHidden
    >
      {record ? <Body namespace={namespace} record={record} only={only} /> : <p className="g-secondary">{t.missing}</p>}
    </Drawer>
  )
}

function Body({
  namespace,
  record,
  only,
}: {
  namespace: string
  record: AuditRecord
  only: (filter: { actor: string } | { target: string }) => void
}) {
  const t = useMessages(texts)
  const path = targetPath(record, namespace)
  const before = pretty(record.before)
  const after = pretty(record.after)
  return (
    <div className="g-audit-detail">
      <dl>
        <dt>{t.time}</dt>
        <dd>
          <Time at={dateOf(record.at)} milliseconds />
        </dd>
        <dt>{t.who}</dt>
        <dd className="g-break">
          {record.actor}{' '}
          <Button type="link" size="small" onClick={() => only({ actor: record.actor })}>
            {t.filterActor(record.actor)}
          </Button>
        </dd>
        <dt>{t.source}</dt>
        <dd>
          <code>{record.source}</code>
        </dd>
        <dt>{t.namespace}</dt>
        <dd>{record.namespace}</dd>
        <dt>{t.to}</dt>
        <dd className="g-break">
          {path ? <PageLink to={path}>{record.target}</PageLink> : record.target}{' '}
          {record.target && (
            <Button type="link" size="small" onClick={() => only({ target: record.target })}>
              {t.filterTarget(record.target)}
            </Button>
          )}
        </dd>
        {record.message && (
          <>
            <dt>{t.message}</dt>
            <dd className="g-break">{record.message}</dd>
          </>
        )}
        <dt>{t.id}</dt>
        <dd>
          <code className="g-break">{record.id}</code>
        </dd>
      </dl>
      {before || after ? (
        <Diff before={before} after={after} format="json" beforeName={t.before} afterName={t.after} />
      ) : (
        <p className="g-secondary">{t.noSnapshot}</p>
      )}
    </div>
  )
}
