import type { Edge, EdgeProps } from '@xyflow/react'
import { memo } from 'react'
import { seconds as duration, share } from '@/ui/format'
import { failedShare, widthOf, type MapEdge } from './graph'
import type { Point } from './layered'
import { drawn } from './path'

export type LineEdge = Edge<{ edge: MapEdge; route?: readonly Point[] }, 'line'>

/** One line: its width is the rate, its label the p95 and what failed; a sign beside the colour says that it is unwell. */
export const EdgeLine = memo(function EdgeLine({
  data,
  source,
  target,
  sourceX,
  sourceY,
  targetX,
  targetY,
}: EdgeProps<LineEdge>) {
  const { edge, route } = data!
  const { path, label } = drawn({ sourceX, sourceY, targetX, targetY }, route, source === target)
  const tone = edge.unwell ?? 'well'
  return (
    <g className={`g-map-edge g-map-edge-${tone}`}>
      <path className="g-map-edge-reach" d={path} />
      <path
        className="g-map-edge-line"
        d={path}
        strokeWidth={widthOf(edge.sum.rate)}
        markerEnd={`url(#g-map-arrow-${tone})`}
      />
      <text className="g-map-edge-label" x={label.x} y={label.y + 4} textAnchor="middle">
        {edge.unwell === 'failing' && '✕ '}
        {edge.unwell === 'slow' && '◷ '}
        {duration(edge.sum.p95)}
        {edge.sum.failed > 0 && ` · ${share(failedShare(edge.sum))}`}
      </text>
    </g>
  )
})

/** The heads of the lines, once for all. */
export function Arrows() {
  return (
    <svg className="g-map-arrows" aria-hidden>
      <defs>
        {(['well', 'failing', 'slow'] as const).map((tone) => (
          <marker
            key={tone}
            id={`g-map-arrow-${tone}`}
            className={`g-map-arrow-${tone}`}
            viewBox="0 0 10 10"
            refX="9"
            refY="5"
            markerWidth="10"
            markerHeight="10"
            markerUnits="userSpaceOnUse"
            orient="auto"
          >
            <path d="M0 0L10 5L0 10z" />
          </marker>
        ))}
      </defs>
    </svg>
  )
}
