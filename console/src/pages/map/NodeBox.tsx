import {
  AppstoreOutlined,
  CloudOutlined,
  DatabaseOutlined,
  HddOutlined,
  InboxOutlined,
  QuestionOutlined,
  SwitcherOutlined,
  UserOutlined,
} from '@ant-design/icons'
import type { Node, NodeProps } from '@xyflow/react'
import { memo, type ReactNode } from 'react'
import { rate, seconds, share } from '@/ui/format'
import { failedShare, type MapNode, type NodeType, type Sum } from './graph'
import { nodeHeight as h, nodeWidth as w } from './layered'

export interface NodeData extends Record<string, unknown> {
  node: MapNode
  /** Of the chosen lane, where there is one. */
  sum: Sum
  /** Instances that take traffic of all, for what is registered. */
  instances?: { available: number; all: number }
}
export type BoxNode = Node<NodeData, 'box'>

export const nodeIcons: Record<NodeType, ReactNode> = {
  service: <AppstoreOutlined />,
  database: <DatabaseOutlined />,
  cache: <HddOutlined />,
  queue: <InboxOutlined />,
  external: <CloudOutlined />,
  user: <UserOutlined />,
  unknown: <QuestionOutlined />,
  group: <SwitcherOutlined />,
}

// Kinds are told by outline as well as by icon.
const outlines: Record<NodeType, string> = {
  service: `M7 1H${w - 7}Q${w - 1} 1 ${w - 1} 7V${h - 7}Q${w - 1} ${h - 1} ${w - 7} ${h - 1}H7Q1 ${h - 1} 1 ${h - 7}V7Q1 1 7 1Z`,
  database: `M1 5C1 0 ${w - 1} 0 ${w - 1} 5V${h - 5}C${w - 1} ${h} 1 ${h} 1 ${h - 5}ZM1 5C1 10 ${w - 1} 10 ${w - 1} 5`,
  cache: `M13 1H${w - 13}L${w - 1} ${h / 2}L${w - 13} ${h - 1}H13L1 ${h / 2}Z`,
  queue: `M13 1H${w - 1}L${w - 13} ${h - 1}H1Z`,
  external: `M12 1H${w - 1}V${h - 12}L${w - 12} ${h - 1}H1V12Z`,
  user: `M${h / 2} 1H${w - h / 2}A${h / 2 - 1} ${h / 2 - 1} 0 0 1 ${w - h / 2} ${h - 1}H${h / 2}A${h / 2 - 1} ${h / 2 - 1} 0 0 1 ${h / 2} 1Z`,
  unknown: `M${h / 2} 1H${w - h / 2}A${h / 2 - 1} ${h / 2 - 1} 0 0 1 ${w - h / 2} ${h - 1}H${h / 2}A${h / 2 - 1} ${h / 2 - 1} 0 0 1 ${h / 2} 1Z`,
  group: `M1 1H${w - 5}V${h - 5}H1ZM5 ${h - 5}V${h - 1}H${w - 1}V5H${w - 5}V${h - 5}Z`,
}

export function Outline({ type }: { type: NodeType }) {
  return (
    <svg className="g-map-outline" viewBox={`0 0 ${w} ${h}`} aria-hidden focusable="false">
      <path d={outlines[type]} />
    </svg>
  )
}

/** Bad: fails, or nothing of it takes traffic. Warn: slow, or some of it does not. */
export function toneOf({ node, instances }: NodeData): 'bad' | 'warn' | undefined {
  const gone = instances && instances.all > 0 && instances.available === 0
  if (node.unwell === 'failing' || gone) return 'bad'
  return node.unwell || (instances && instances.available < instances.all) ? 'warn' : undefined
}

/** Made anew only when its data are others; see useBoxes. */
export const NodeBox = memo(
  function NodeBox({ data }: NodeProps<BoxNode>) {
    const { node, sum, instances } = data
    const tone = toneOf(data)
    return (
      <div className={`g-map-node g-map-node-${node.type}${tone ? ` g-map-node-${tone}` : ''}`} title={node.name}>
        <Outline type={node.type} />
        <span className="g-map-icon" aria-hidden>
          {nodeIcons[node.type]}
        </span>
        <span className="g-map-name">
          {tone && <span aria-hidden>{tone === 'bad' ? '✕ ' : '! '}</span>}
          {node.name}
          {node.members.length > 0 && ` (${node.members.length})`}
        </span>
        <span className="g-map-figures g-num">
          {sum.calls > 0 ? (
            <>
              {rate(sum.rate)}
              <span className={sum.failed > 0 ? 'g-danger' : undefined}>{share(failedShare(sum))}</span>
              {seconds(sum.p95)}
            </>
          ) : (
            '–'
          )}
          {instances && instances.available < instances.all && (
            <span className={tone === 'bad' ? 'g-danger' : 'g-warning'}>
              {instances.available}/{instances.all}
            </span>
          )}
        </span>
      </div>
    )
  },
  (before, after) => before.data === after.data,
)
