import { useMessages } from '@/app/i18n'
import { count, rate, seconds, share } from '@/ui/format'
import { failedShare, type MapEdge, type Part, type Sum } from './graph'
import { texts } from './messages'
import { UnwellTag } from './UnwellTag'

/** All figures of one sum, as words and numbers. */
export function Sums({ sum, usual }: { sum: Sum; usual?: Sum }) {
  const t = useMessages(texts).figures
  const rows: [string, string, boolean?][] = [
    [t.rate, rate(sum.rate)],
    [t.calls, count(sum.calls)],
    [t.errors, share(failedShare(sum)), sum.failed > 0],
    [t.refused, share(sum.calls > 0 ? sum.refused / sum.calls : undefined)],
    [t.p50, seconds(sum.p50)],
    [t.p95, seconds(sum.p95)],
    [t.p99, seconds(sum.p99)],
  ]
  if (usual) rows.push([t.usual, seconds(usual.p95)])
  return (
    <>
      <dl className="g-map-sums g-num">
        {rows.map(([word, value, bad]) => (
          <div key={word}>
            <dt>{word}</dt>
            <dd className={bad ? 'g-danger' : undefined}>{value}</dd>
          </div>
        ))}
      </dl>
      {sum.several && <p className="g-secondary">{t.worst}</p>}
    </>
  )
}

/** Calls by protocol, and between whom where an edge stands for several. */
function Parts({ parts }: { parts: readonly Part[] }) {
  const t = useMessages(texts)
  const several = new Set(parts.map((part) => `${part.caller}\n${part.callee}`)).size > 1
  const shown = [...parts].sort((a, b) => b.sum.rate - a.sum.rate).slice(0, 12)
  return (
    <table className="g-map-parts g-num">
      <thead>
        <tr>
          <th>{t.figures.protocol}</th>
          <th>{t.figures.rate}</th>
          <th>{t.figures.errors}</th>
          <th>{t.figures.p50}</th>
          <th>{t.figures.p95}</th>
          <th>{t.figures.p99}</th>
        </tr>
      </thead>
      <tbody>
        {shown.map((part) => (
          <tr key={`${part.caller}\n${part.callee}\n${part.protocol}`}>
            <th scope="row" className="g-break">
              {part.protocol || '–'}
              {several && (
                <div className="g-secondary">
                  {part.caller} → {part.callee}
                </div>
              )}
            </th>
            <td>{rate(part.sum.rate)}</td>
            <td className={part.sum.failed > 0 ? 'g-danger' : undefined}>{share(failedShare(part.sum))}</td>
            <td>{seconds(part.sum.p50)}</td>
            <td>{seconds(part.sum.p95)}</td>
            <td>{seconds(part.sum.p99)}</td>
          </tr>
        ))}
      </tbody>
      {parts.length > shown.length && <caption>{t.panel.more(parts.length - shown.length)}</caption>}
    </table>
  )
}

export function EdgeFigures({ edge }: { edge: MapEdge }) {
  return (
    <>
      <h3 className="g-break">
        {nameOf(edge.source)} → {nameOf(edge.target)} {edge.unwell && <UnwellTag unwell={edge.unwell} />}
      </h3>
      <Sums sum={edge.sum} usual={edge.usual} />
      <Parts parts={edge.parts} />
    </>
  )
}

/** The name within an id. */
export const nameOf = (id: string) => id.slice(id.indexOf('/') + 1)
