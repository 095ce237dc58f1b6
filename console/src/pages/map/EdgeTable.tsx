import { useMemo } from 'react'
import { useMessages } from '@/app/i18n'
import { count, rate, seconds, share } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { Empty } from '@/ui/Empty'
import { failedShare, type MapEdge, type Part } from './graph'
import { texts } from './messages'
import { UnwellTag } from './UnwellTag'

interface Row {
  edge: MapEdge
  part: Part
}

const by = (value: (row: Row) => number | undefined) => (a: Row, b: Row) => (value(a) ?? -1) - (value(b) ?? -1)
const weight = { failing: 2, slow: 1 }

/** The same edges as on the map, a protocol a row: what a picture says, as text. */
export function EdgeTable({
  edges,
  selected,
  onSelect,
}: {
  edges: readonly MapEdge[]
  selected: string
  onSelect: (id: string) => void
}) {
  const t = useMessages(texts)
  const rows = useMemo(() => edges.flatMap((edge) => edge.parts.map((part) => ({ edge, part }))), [edges])
  const columns = useMemo<Column<Row>[]>(
    () => [
      {
        key: 'caller',
        title: t.figures.caller,
        width: '2fr',
        render: ({ part }) => part.caller,
        compare: (a, b) => a.part.caller.localeCompare(b.part.caller),
      },
      {
        key: 'callee',
        title: t.figures.callee,
        width: '2fr',
        render: ({ part }) => part.callee,
        compare: (a, b) => a.part.callee.localeCompare(b.part.callee),
      },
      { key: 'protocol', title: t.figures.protocol, width: 96, render: ({ part }) => part.protocol },
      {
        key: 'state',
        title: t.figures.state,
        width: 136,
        render: ({ edge }) =>
          edge.unwell ? <UnwellTag unwell={edge.unwell} /> : <StateTag state="healthy">{t.figures.well}</StateTag>,
        compare: by(({ edge }) => (edge.unwell ? weight[edge.unwell] : 0)),
      },
      {
        key: 'rate',
        title: t.figures.rate,
        width: 72,
        align: 'right',
        render: ({ part }) => rate(part.sum.rate),
        compare: by(({ part }) => part.sum.rate),
      },
      {
        key: 'calls',
        title: t.figures.calls,
        width: 72,
        align: 'right',
        render: ({ part }) => count(part.sum.calls),
        compare: by(({ part }) => part.sum.calls),
      },
      {
        key: 'errors',
        title: t.figures.errors,
        width: 64,
        align: 'right',
        render: ({ part }) => (
          <span className={part.sum.failed > 0 ? 'g-danger' : undefined}>{share(failedShare(part.sum))}</span>
        ),
        compare: by(({ part }) => failedShare(part.sum)),
      },
      {
        key: 'p50',
        title: t.figures.p50,
        width: 72,
        align: 'right',
        render: ({ part }) => seconds(part.sum.p50),
        compare: by(({ part }) => part.sum.p50),
      },
      {
        key: 'p95',
        title: t.figures.p95,
        width: 72,
        align: 'right',
        render: ({ part }) => seconds(part.sum.p95),
        compare: by(({ part }) => part.sum.p95),
      },
      {
        key: 'p99',
        title: t.figures.p99,
        width: 72,
        align: 'right',
        render: ({ part }) => seconds(part.sum.p99),
        compare: by(({ part }) => part.sum.p99),
      },
    ],
    [t],
  )
  return (
    <VirtualTable
      label={t.graph}
      rows={rows}
      columns={columns}
      rowKey={({ edge, part }) => `${edge.id}\n${part.caller}\n${part.callee}\n${part.protocol}`}
      onOpen={({ edge }) => onSelect(edge.id)}
      selected={rows.find(({ edge }) => edge.id === selected) && keyOfFirst(rows, selected)}
      initialSort={{ key: 'state', descending: true }}
      empty={<Empty title={t.empty} />}
    />
  )
}

function keyOfFirst(rows: readonly Row[], selected: string) {
  const row = rows.find(({ edge }) => edge.id === selected)
  return row && `${row.edge.id}\n${row.part.caller}\n${row.part.callee}\n${row.part.protocol}`
}
