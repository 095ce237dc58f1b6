import { useQuery } from '@tanstack/react-query'
import { Tag } from 'antd'
import { useMemo } from 'react'
import type { ListSubscribersResponse, Subscriber } from '@/api/gen/gantry/v1/instance_pb'
import { instances } from '@/api/clients'
import { key } from '@/api/keys'
import { messages, plural, useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { dateOf, dateTime } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import type { ServiceName } from './useService'

const texts = messages(
  {
    title: 'Who follows it',
    note: (known: number, all: number, of: string) => `${known} of ${plural(all, 'subscriber')} know ${of}`,
    newest: 'its newest state',
    lastChange: 'the last change of this instance',
    service: 'Service',
    instance: 'Instance',
    address: 'Address',
    since: 'Follows for',
    knows: 'Knows',
    yes: 'yes',
    notYet: 'not yet',
    node: 'At node',
    none: 'Nobody follows it',
    noneText: 'Clients that subscribe are shown here; those that only poll follow nothing.',
    more: (count: number) => `and ${count} more`,
    missing: (nodes: string) => `Not counted: subscribers on ${nodes}, which did not answer.`,
  },
  {
    title: '订阅者',
    note: (known, all, of) => `${all} 个订阅者中有 ${known} 个已知晓${of}`,
    newest: '最新状态',
    lastChange: '该实例的最近一次变更',
    service: '服务',
    instance: '实例',
    address: '地址',
    since: '订阅时长',
    knows: '已知晓',
    yes: '是',
    notYet: '尚未',
    node: '所在节点',
    none: '没有订阅者',
    noneText: '此处显示订阅的客户端；只轮询的客户端不算订阅者。',
    more: (count) => `另有 ${count} 个`,
    missing: (nodes) => `未计入：未回答的节点 ${nodes} 上的订阅者。`,
  },
)

/** Those that a page names; the answer says how many there are in all. */
const most = 200

/** Who follows a service in order to call it, and who of them knows its newest state, or the last change of one of its instances, such as a drain. */
export function SubscribersPanel({ of, instance }: { of: ServiceName; instance?: string }) {
  const t = useMessages(texts)
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
  const t = useMessages(texts)
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
