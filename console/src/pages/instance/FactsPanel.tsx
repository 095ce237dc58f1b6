import { Descriptions, type DescriptionsProps } from 'antd'
import { Status, type Instance } from '@/api/gen/gantry/v1/instance_pb'
import type { InstanceFigure } from '@/api/gen/gantry/v1/topology_pb'
import { useMessages } from '@/app/i18n'
import { dateOf, duration } from '@/ui/format'
import { texts as shared } from '@/ui/messages'
import { Panel } from '@/ui/Page'
import { Ago, Time } from '@/ui/Time'
import { texts } from './messages'
import { weightOf } from './operate/override'

/** What the registry knows of the instance. */
export function FactsPanel({ instance, figure }: { instance: Instance; figure: InstanceFigure | undefined }) {
  const t = useMessages(texts)
  const words = useMessages(shared).state
  const statusWord: Record<Status, string> = {
    [Status.UNSPECIFIED]: '',
    [Status.STARTING]: words.starting,
    [Status.UP]: words.up,
    [Status.DRAINING]: words.draining,
    [Status.DOWN]: words.down,
  }
  const { override } = instance
  const set = override
    ? [statusWord[override.status], override.weight === undefined ? '' : t.weightIs(String(override.weight))]
        .filter(Boolean)
        .join(', ')
    : ''
  const items: DescriptionsProps['items'] = [
    { key: 'address', label: t.address, children: <code>{`${instance.address}:${instance.port}`}</code> },
    {
      key: 'ports',
      label: t.ports,
      children: Object.entries(instance.ports).length
        ? Object.entries(instance.ports)
            .map(([name, port]) => `${name} ${port}`)
            .join(', ')
        : '–',
    },
    {
      key: 'own',
      label: t.ownWord,
      children: `${statusWord[instance.status]}, ${t.weightIs(String(instance.weight ?? 1))}`,
    },
    {
      key: 'set',
      label: t.set,
      children: override ? (
        <span>
          {t.setBy(set, override.author)}{' '}
          <span className="g-secondary">
            (<Ago at={dateOf(override.at)} />)
          </span>
        </span>
      ) : (
        t.nothingSet
      ),
    },
    { key: 'weight', label: t.weight, children: String(weightOf(instance)) },
    { key: 'protocol', label: t.protocol, children: instance.protocol },
    {
      key: 'life',
      label: t.life,
      children: instance.persistent ? t.persistent : t.ephemeral(duration(instance.ttl)),
    },
    { key: 'owner', label: t.owner, children: <code>{instance.owner || '–'}</code> },
    { key: 'registered', label: t.registered, children: <Time at={dateOf(instance.registeredAt)} /> },
    { key: 'changed', label: t.changed, children: <Time at={dateOf(instance.changedAt)} /> },
    ...(instance.healthReason ? [{ key: 'reason', label: t.reason, children: instance.healthReason }] : []),
    ...(figure
      ? [
          {
            key: 'last',
            label: t.lastSignal,
            children: (
              <span>
                <Ago at={dateOf(figure.last)} />{' '}
                {figure.behind && <span className="g-secondary">{t.behind(duration(figure.behind))}</span>}
              </span>
            ),
          },
        ]
      : []),
  ]
  return (
    <Panel title={t.facts}>
      <Descriptions size="small" column={1} items={items} className="g-instance-facts" />
    </Panel>
  )
}

/** Labels or metadata, as they are. */
export function PairsPanel({ title, pairs }: { title: string; pairs: Readonly<Record<string, string>> }) {
  const t = useMessages(texts)
  const entries = Object.entries(pairs).sort(([a], [b]) => (a < b ? -1 : 1))
  return (
    <Panel title={title}>
      {entries.length === 0 ? (
        <span className="g-secondary">{t.noLabels}</span>
      ) : (
        <dl className="g-instance-pairs">
          {entries.map(([key, value]) => (
            <div key={key}>
              <dt className="g-break">{key}</dt>
              <dd className="g-mono g-break">{value}</dd>
            </div>
          ))}
        </dl>
      )}
    </Panel>
  )
}
