import { AimOutlined, CloseOutlined, ExpandAltOutlined } from '@ant-design/icons'
import { Button, Tag } from 'antd'
import { useEffect, useRef } from 'react'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths, withQuery } from '@/app/paths'
import { rate, seconds, share } from '@/ui/format'
import type { ServiceState } from './data'
import { EdgeFigures, nameOf, Sums } from './Figures'
import { failedShare, type MapEdge, type MapGraph, type MapNode } from './graph'
import { texts } from './messages'
import { nodeIcons } from './NodeBox'
import { UnwellTag } from './UnwellTag'

const listed = 12

export interface SidePanelProps {
  namespace: string
  graph: MapGraph
  selected: string
  registry: ReadonlyMap<string, ServiceState>
  lane: string
  /** It was opened by keyboard: the focus goes there, and back when it is closed. */
  takesFocus: boolean
  onOpen: (group: string) => void
  /** Query of the time that is shown, for links. */
  time: { from: string; to: string }
  focused: boolean
  onFocus: (name: string | undefined) => void
  onSelect: (id: string | undefined) => void
}

/** All that the map knows of what was chosen, and where to go from there. */
export function SidePanel(props: SidePanelProps) {
  const t = useMessages(texts)
  const { graph, selected, takesFocus, onSelect } = props
  const panel = useRef<HTMLElement>(null)
  useEffect(() => {
    if (takesFocus) panel.current?.focus()
  }, [selected, takesFocus])
  const node = graph.nodes.find(({ id }) => id === selected)
  const edge = graph.edges.find(({ id }) => id === selected)
  if (!node && !edge) return null
  const label = node ? node.name : `${nameOf(edge!.source)} → ${nameOf(edge!.target)}`
  return (
    <aside
      ref={panel}
      className="g-panel g-map-panel"
      aria-label={label}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onSelect(undefined)
      }}
    >
      <Button
        className="g-map-panel-close"
        type="text"
        icon={<CloseOutlined />}
        aria-label={t.panel.close}
        onClick={() => onSelect(undefined)}
      />
      {node ? <NodePart {...props} node={node} /> : <EdgePart {...props} edge={edge!} />}
    </aside>
  )
}

function EdgePart({ edge, namespace, time, lane, onSelect }: SidePanelProps & { edge: MapEdge }) {
  const t = useMessages(texts).panel
  const callee = edge.target.startsWith('service/') ? nameOf(edge.target) : undefined
  const service = callee ?? (edge.source.startsWith('service/') ? nameOf(edge.source) : undefined)
  return (
    <>
      <EdgeFigures edge={edge} />
      <p className="g-map-links">
        {[edge.source, edge.target].map((id) => (
          <Button key={id} size="small" onClick={() => onSelect(id)}>
            {nameOf(id)}
          </Button>
        ))}
      </p>
      {service && (
        <Links
          namespace={namespace}
          service={service}
          time={time}
          lane={lane}
          outcome={edge.sum.failed > 0 ? 'failed' : ''}
          words={t}
        />
      )}
    </>
  )
}

function NodePart(props: SidePanelProps & { node: MapNode }) {
  const t = useMessages(texts)
  const { node, graph, registry, lane, namespace, time, focused, onFocus, onOpen, onSelect } = props
  const known = node.type === 'service' ? registry.get(node.name) : undefined
  const rank = (edges: MapEdge[]) =>
    edges.sort((a, b) => Number(b.unwell !== undefined) - Number(a.unwell !== undefined) || b.sum.rate - a.sum.rate)
  const callers = rank(graph.edges.filter((edge) => edge.target === node.id))
  const callees = rank(graph.edges.filter((edge) => edge.source === node.id))
  return (
    <>
      <h3 className="g-break">
        <span aria-hidden>{nodeIcons[node.type]}</span> {node.name}{' '}
        <span className="g-secondary">{t.types[node.type]}</span> {node.unwell && <UnwellTag unwell={node.unwell} />}
      </h3>
      {node.type === 'group' && (
        <p className="g-map-links">
          <Button size="small" icon={<ExpandAltOutlined />} onClick={() => onOpen(node.name)}>
            {t.panel.open}
          </Button>
        </p>
      )}
      {node.type !== 'group' && (
        <p className="g-map-links">
          <Button size="small" icon={<AimOutlined />} onClick={() => onFocus(focused ? undefined : node.name)}>
            {focused ? t.panel.leaveFocus : t.panel.focus}
          </Button>
        </p>
      )}
      {node.type === 'service' && (
        <>
          <Links
            namespace={namespace}
            service={node.name}
            group={known?.group}
            time={time}
            lane={lane}
            outcome=""
            words={t.panel}
          />
          <dl className="g-map-sums">
            <div>
              <dt>{t.panel.instances}</dt>
              <dd className={known && known.available < known.all ? 'g-danger' : undefined}>
                {known ? `${known.available}/${known.all}` : t.panel.noInstances}
              </dd>
            </div>
            {known && known.versions.length > 0 && (
              <div>
                <dt>{t.panel.versions}</dt>
                <dd>
                  {known.versions.map((version) => (
                    <Tag key={version}>{version}</Tag>
                  ))}
                </dd>
              </div>
            )}
          </dl>
        </>
      )}
      <h4>{t.panel.node}</h4>
      <Sums sum={node.sum} />
      <Neighbours title={t.panel.callers} edges={callers} end="source" onSelect={onSelect} />
      <Neighbours title={t.panel.callees} edges={callees} end="target" onSelect={onSelect} />
      {node.members.length > 0 && (
        <>
          <h4>{t.panel.members}</h4>
          <p className="g-break">{node.members.join(', ')}</p>
        </>
      )}
    </>
  )
}

function Links({
  namespace,
  service,
  group,
  time,
  lane,
  outcome,
  words,
}: {
  namespace: string
  service: string
  group?: string
  time: { from: string; to: string }
  lane: string
  outcome: string
  words: { service: string; traces: string; errors: string }
}) {
  return (
    <p className="g-map-links">
      <PageLink to={paths.service(namespace, service, group)}>{words.service}</PageLink>
      <PageLink to={withQuery(paths.traces(namespace), { service, outcome, lane, ...time })}>{words.traces}</PageLink>
      <PageLink to={withQuery(paths.errors(namespace), { service })}>{words.errors}</PageLink>
    </p>
  )
}

function Neighbours({
  title,
  edges,
  end,
  onSelect,
}: {
  title: string
  edges: readonly MapEdge[]
  end: 'source' | 'target'
  onSelect: (id: string) => void
}) {
  const t = useMessages(texts)
  return (
    <>
      <h4>
        {title} <span className="g-secondary">{edges.length}</span>
      </h4>
      {edges.length === 0 && <p className="g-secondary">{t.panel.nobody}</p>}
      <ul className="g-map-neighbours g-num">
        {edges.slice(0, listed).map((edge) => (
          <li key={edge.id}>
            <button type="button" className="g-cut" title={nameOf(edge[end])} onClick={() => onSelect(edge.id)}>
              {edge.unwell === 'failing' && '✕ '}
              {edge.unwell === 'slow' && '◷ '}
              {nameOf(edge[end])}
            </button>
            <span>{rate(edge.sum.rate)}</span>
            <span className={edge.sum.failed > 0 ? 'g-danger' : undefined}>{share(failedShare(edge.sum))}</span>
            <span>{seconds(edge.sum.p95)}</span>
          </li>
        ))}
      </ul>
      {edges.length > listed && <p className="g-secondary">{t.panel.more(edges.length - listed)}</p>}
    </>
  )
}
