import { useQuery } from '@tanstack/react-query'
import { Tag } from 'antd'
import { useMemo } from 'react'
import type { ListSubscribersResponse, Subscriber } from '@/api/gen/gantry/v1/instance_pb'
import { instances } from '@/api/clients/instances'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { dateOf, dateTime } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'
import type { ServiceName } from './useService'

/** Those that a page names; the answer says how many there are in all. */
const most = 200

/** Who follows a service in order to call it, and who of them knows its newest state, or the last change of one of its instances, such as a drain. */
export function SubscribersPanel({ of, instance }: { of: ServiceName; instance?: string }) {
  const t = useMessages(texts).followers
  const { namespace, group, service } = of
  const found = useQuery({
    queryKey: key('figures', namespace, 'subscribers', group, service, instance),
    queryFn: ({ signal }) =>
      instances.listSubscribers({ service: { namespace, group, service }, instance, limit: most }, { signal }),
  })
  const answer = found.data
  return (
    <Panel
      title={t.title}
      className="g-panel-flush"
      extra={
        answer &&
        answer.total > 0 && (
          <span className="g-secondary">
            {t.note(answer.acknowledged, answer.total, instance === undefined ? t.newest : t.lastChange)}
          </span>
        )
      }
    >
      <Answer query={found} count={3}>
        {(given) => (
          <>
            <Subscribers namespace={namespace} label={t.title} answer={given} />
            {given.total > given.subscribers.length && (
              <p className="g-service-note g-secondary">{t.more(given.total - given.subscribers.length)}</p>
            )}
            {given.missingNodes.length > 0 && (
              <p className="g-service-note g-danger">{t.missing(given.missingNodes.join(', '))}</p>
            )}
          </>
        )}
      </Answer>
    </Panel>
  )
}

function Subscribers({
  namespace,
  label,
  answer,
}: {
  namespace: string
  label: string
  answer: ListSubscribersResponse
}) {
  const t = useMessages(texts).followers
  const columns = useMemo<Column<Subscriber>[]>(
    () => [
      {
        key: 'service',
        title: t.service,
        width: '1fr',
        render: (one) =>
          one.service ? (
            <PageLink
              to={paths.service(
                one.service.namespace || namespace,
                one.service.service,
                one.service.group || 'default',
              )}
            >
              {one.service.service}
            </PageLink>
          ) : (
            '–'
          ),
      },
      {
        key: 'instance',
        title: t.instance,
        width: '1fr',
        render: (one) =>
          one.service && one.instance ? (
            <PageLink
              to={paths.instance(
                one.service.namespace || namespace,
                one.service.service,
                one.instance,
                one.service.group || 'default',
              )}
            >
              {one.instance}
            </PageLink>
          ) : (
            one.instance || '–'
          ),
      },
      {
        key: 'address',
        title: t.address,
        width: '1fr',
        render: (one) => (
          <>
            <code>{one.address || '–'}</code> {one.protocol && <Tag>{one.protocol}</Tag>}
          </>
        ),
      },
      { key: 'since', title: t.since, width: 112, render: (one) => <Ago at={dateOf(one.since)} /> },
      {
        key: 'knows',
        title: t.knows,
        width: 112,
        render: (one) =>
          one.revision < answer.revision ? (
            <StateTag state="pending">{t.notYet}</StateTag>
          ) : (
            <span title={one.acknowledgedAt && dateTime(dateOf(one.acknowledgedAt)!, true)}>
              <StateTag state="success">{t.yes}</StateTag>
            </span>
          ),
      },
      { key: 'node', title: t.node, width: 96, render: (one) => one.node },
    ],
    [t, namespace, answer.revision],
  )
  return (
    <VirtualTable
      label={label}
      rows={answer.subscribers}
      columns={columns}
      rowKey={(one) =>
        [one.node, one.address, one.service?.service, one.instance, one.since?.seconds, one.since?.nanos].join(' ')
      }
      height="340px"
      empty={<Empty title={t.none}>{t.noneText}</Empty>}
    />
  )
}
