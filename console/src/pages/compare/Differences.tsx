import { Switch } from 'antd'
import { useMemo } from 'react'
import { useSearchParams } from 'react-router'
import { useMessages } from '@/app/i18n'
import { useDark } from '@/app/Theme'
import { Empty } from '@/ui/Empty'
import { seconds } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { colourOf } from '../trace/colours'
import type { Trace } from '../trace/model'
import { compareTraces, differs, explains, ranDifferently, type Row, type Side } from './compare'
import { texts } from './messages'

/** A difference is said with its sign. */
const signed = (ms: number) => (Math.abs(ms) < 0.0005 ? '0' : `${ms > 0 ? '+' : '−'}${seconds(Math.abs(ms) / 1000)}`)

export function Differences({ left, right }: { left: Trace; right: Trace }) {
  const t = useMessages(texts)
  const dark = useDark()
  const rows = useMemo(() => compareTraces(left, right), [left, right])
  const colour = useMemo(() => colourOf([...new Set([...left.services, ...right.services])], dark), [left, right, dark])
  const reasons = explains(rows, 6)
  const ran = ranDifferently(left, right)
  const more = right.duration - left.duration
  return (
    <>
      <div className="g-columns">
        <Panel
          title={t.explains}
          extra={
            <strong className={more > 0 ? 'g-danger' : undefined}>
              {more === 0 ? t.equal : more > 0 ? t.slower(seconds(more / 1000)) : t.faster(seconds(-more / 1000))}
            </strong>
          }
        >
          {reasons.length === 0 ? (
            <p className="g-secondary">{t.nothingExplains}</p>
          ) : (
            <ul className="g-compare-reasons">
              {reasons.map((row) => (
                <li key={row.key}>
                  <span className="g-compare-dot" style={{ background: colour(row.service) }} aria-hidden />
                  <span className="g-cut" title={`${row.service} ${row.name}`}>
                    <strong>{row.service}</strong> {row.name}
                  </span>
                  <span className="g-secondary g-num">{counts(row)}</span>
                  <Difference value={row.moreSelf} most={Math.abs(reasons[0]!.moreSelf)} />
                </li>
              ))}
            </ul>
          )}
        </Panel>
        <Panel title={t.ran}>
          {ran.length === 0 ? (
            <p className="g-secondary">{t.ranNothing}</p>
          ) : (
            <table className="g-compare-ran">
              <thead>
                <tr>
                  <th scope="col">{t.service}</th>
                  <th scope="col" />
                  <th scope="col">{t.left}</th>
                  <th scope="col">{t.right}</th>
                </tr>
              </thead>
              <tbody>
                {ran.map(({ service, what, left, right }) => (
                  <tr key={service + what}>
                    <td>{service}</td>
                    <td className="g-secondary">{t.aspects[what]}</td>
                    <td className="g-break">{left.join(', ') || '–'}</td>
                    <td className="g-break">{right.join(', ') || '–'}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Panel>
      </div>
      <Structure rows={rows} colour={colour} />
    </>
  )
}

const counts = ({ left, right }: Row) =>
  left.count === right.count && left.count === 1 ? '' : `×${left.count} → ×${right.count}`

function Structure({ rows, colour }: { rows: readonly Row[]; colour: (service: string) => string }) {
  const t = useMessages(texts)
  const [search, setSearch] = useSearchParams()
  const only = search.get('only') === 'different'
  const shown = useMemo(() => (only ? rows.filter(differs) : rows), [rows, only])
  const columns = useMemo(() => columnsOf(t, colour, rows), [t, colour, rows])
  return (
    <Panel
      title={t.structure}
      className="g-panel-flush"
      extra={
        <span className="g-toolbar">
          <span className="g-secondary g-num">{t.rows(shown.length, rows.length)}</span>
          <label>
            <Switch
              size="small"
              checked={only}
              onChange={(on) =>
                setSearch((old) => {
                  const next = new URLSearchParams(old)
                  if (on) next.set('only', 'different')
                  else next.delete('only')
                  return next
                })
              }
            />{' '}
            {t.onlyDifferent}
          </label>
        </span>
      }
    >
      <VirtualTable
        label={t.structure}
        rows={shown}
        columns={columns}
        rowKey={(row) => row.key}
        rowHeight={32}
        empty={<Empty title={t.same} />}
      />
    </Panel>
  )
}

function columnsOf(t: (typeof texts)['en'], colour: (service: string) => string, rows: readonly Row[]): Column<Row>[] {
  const most = rows.reduce((sum, row) => Math.max(sum, Math.abs(row.more)), 0)
  const mostSelf = rows.reduce((sum, row) => Math.max(sum, Math.abs(row.moreSelf)), 0)
  const took = (side: 'left' | 'right'): Column<Row> => ({
    key: side,
    title: t.took(t[side]),
    width: 128,
    align: 'right',
    render: (row) => <Took side={row[side]} failures={t.failures} />,
    compare: (a, b) => a[side].total - b[side].total,
  })
  return [
    {
      key: 'span',
      title: t.span,
      width: '3fr',
      render: (row) => (
        <span style={{ paddingLeft: Math.min(row.depth, 24) * 12 }} title={`${row.service} ${row.name}`}>
          <span className="g-compare-dot" style={{ background: colour(row.service) }} aria-hidden />{' '}
          <strong>{row.service}</strong> {row.name}
          {(row.left.count === 0 || row.right.count === 0) && (
            <span className="g-compare-only"> {row.left.count === 0 ? t.only.right : t.only.left}</span>
          )}
        </span>
      ),
      compare: (a, b) => a.index - b.index,
    },
    took('left'),
    took('right'),
    {
      key: 'more',
      title: t.more,
      width: 176,
      align: 'right',
      render: (row) => <Difference value={row.more} most={most} />,
      compare: (a, b) => Math.abs(a.more) - Math.abs(b.more),
    },
    {
      key: 'self',
      title: t.moreSelf,
      width: 176,
      align: 'right',
      render: (row) => <Difference value={row.moreSelf} most={mostSelf} />,
      compare: (a, b) => Math.abs(a.moreSelf) - Math.abs(b.moreSelf),
    },
  ]
}

function Took({ side, failures }: { side: Side; failures: (count: number) => string }) {
  if (side.count === 0) return <span className="g-secondary">–</span>
  return (
    <span
      className={side.failed > 0 ? 'g-danger' : undefined}
      title={side.failed > 0 ? failures(side.failed) : undefined}
    >
      {side.count > 1 && <span className="g-secondary">×{side.count} </span>}
      {side.failed > 0 && '✕ '}
      {seconds(side.total / 1000)}
    </span>
  )
}

/** More goes to the right of the middle, less to the left; the word has the sign. */
function Difference({ value, most }: { value: number; most: number }) {
  const width = most > 0 ? (50 * Math.abs(value)) / most : 0
  return (
    <span className="g-compare-difference g-num">
      <span className="g-compare-scale" aria-hidden>
        <span
          className={value > 0 ? 'g-compare-more' : 'g-compare-less'}
          style={value > 0 ? { left: '50%', width: `${width}%` } : { right: '50%', width: `${width}%` }}
        />
      </span>
      <span>{signed(value)}</span>
    </span>
  )
}
