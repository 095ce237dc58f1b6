import { memo, useMemo } from 'react'
import { useMessages } from '@/app/i18n'
import { seconds, share } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { shares, type Segment } from './criticalPath'
import { texts } from './messages'
import type { Node } from './model'

const most = 6

/** Where the time went: the services of the critical path as one bar, and its operations by their time. */
export const PathPanel = memo(function PathPanel({
  segments,
  colour,
  select,
}: {
  segments: readonly Segment[]
  colour: (service: string) => string
  select: (node: Node) => void
}) {
  const t = useMessages(texts)
  const all = segments.reduce((sum, { from, to }) => sum + to - from, 0)
  const services = useMemo(() => shares(segments, (node) => node.span.service), [segments])
  const operations = useMemo(() => {
    const longest = new Map<string, Node>()
    const name = (node: Node) => `${node.span.service}\n${node.span.name}`
    const sums = shares(segments, name)
    for (const { key: node } of shares(segments, (one) => one))
      if (!longest.has(name(node))) longest.set(name(node), node)
    return sums.map(({ key, time }) => ({ node: longest.get(key)!, time }))
  }, [segments])
  if (all === 0) return null
  return (
    <Panel title={t.path} extra={<span className="g-secondary">{t.pathHint}</span>}>
      <div className="g-trace-shares" role="list">
        {services.map(({ key, time }) => (
          <span
            key={key}
            role="listitem"
            style={{ flexGrow: time, background: colour(key) }}
            title={`${key} ${seconds(time / 1000)} ${share(time / all)}`}
            aria-label={`${key} ${seconds(time / 1000)}, ${share(time / all)}`}
          />
        ))}
      </div>
      <ul className="g-trace-operations">
        {operations.slice(0, most).map(({ node, time }) => (
          <li key={node.index}>
            <button type="button" onClick={() => select(node)}>
              <span className="g-trace-dot" style={{ background: colour(node.span.service) }} aria-hidden />
              <span className="g-cut">
                <strong>{node.span.service}</strong> {node.span.name}
              </span>
              <span className="g-num">{seconds(time / 1000)}</span>
              <span className="g-num g-secondary">{share(time / all)}</span>
            </button>
          </li>
        ))}
        {operations.length > most && <li className="g-secondary">{t.others(operations.length - most)}</li>}
      </ul>
    </Panel>
  )
})
