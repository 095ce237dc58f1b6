import { useVirtualizer } from '@tanstack/react-virtual'
import {
  memo,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
  type CSSProperties,
  type MouseEvent,
  type ReactNode,
} from 'react'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

export interface Column<Row> {
  key: string
  title: string
  /** In place of the title where it is not sorted by: a box that marks all rows. */
  head?: ReactNode
  /** Pixels, or a share of what is left such as "2fr". */
  width: number | `${number}fr`
  /** Numbers go right. */
  align?: 'right'
  render: (row: Row) => ReactNode
  /** Given, the column can be sorted. */
  compare?: (a: Row, b: Row) => number
}

export interface Sort {
  key: string
  descending: boolean
}

/** Sorts stably; rows that compare equal keep their order in both directions. */
export function sorted<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  sort: Sort | undefined,
): readonly Row[] {
  const compare = columns.find((column) => column.key === sort?.key)?.compare
  if (!compare || !sort) return rows
  return [...rows].sort((a, b) => (sort.descending ? compare(b, a) : compare(a, b)))
}

/** What is cut by an ellipsis is read when one points at it. Asked of the cell itself: what is in it, and how wide it is, changes without it. */
function tellCut(event: MouseEvent) {
  const cell = (event.target as HTMLElement).closest<HTMLElement>('[role="cell"]')
  if (!cell) return
  const cut = [cell, ...cell.querySelectorAll<HTMLElement>(':scope > *')].some(
    (one) => one.scrollWidth > one.clientWidth,
  )
  if (cut && !cell.querySelector('[title]')) cell.title = cell.textContent
  else cell.removeAttribute('title')
}

/** Rows before the last at which more are asked for. */
const endNear = 20

/**
 * A table that puts only the rows in sight into the document: 5,000 cost as much as 50. Every row has the same height; what does not fit is cut by an ellipsis.
 * Rows are reached by Tab and by the arrow keys, and opened by Enter.
 */
export function VirtualTable<Row>({
  label,
  rows,
  columns,
  rowKey,
  onOpen,
  onEnd,
  selected,
  initialSort,
  rowHeight = 36,
  height = 'min(70dvh, 720px)',
  empty,
}: {
  label: string
  rows: readonly Row[]
  columns: readonly Column<Row>[]
  rowKey: (row: Row) => string
  onOpen?: (row: Row) => void
  /** The last rows came near: more can be fetched. */
  onEnd?: () => void
  selected?: string
  initialSort?: Sort
  rowHeight?: number
  /** The most it takes; fewer rows take less. */
  height?: CSSProperties['maxHeight']
  empty?: ReactNode
}) {
  const t = useMessages(texts).table
  const scroller = useRef<HTMLDivElement>(null)
  const [sort, setSort] = useState(initialSort)
  const shown = useMemo(() => sorted(rows, columns, sort), [rows, columns, sort])
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
  })
  const near = (virtual.range?.endIndex ?? -1) >= shown.length - endNear
  useEffect(() => {
    if (near && shown.length > 0) onEnd?.()
  }, [near, shown.length, onEnd])
  const grid = columns.map((c) => (typeof c.width === 'number' ? `${c.width}px` : `minmax(96px, ${c.width})`)).join(' ')
  const least = columns.reduce((sum, c) => sum + (typeof c.width === 'number' ? c.width : 96) + 8, 0) + 16
  const last = shown.length - 1
  const { scrollToIndex } = virtual
  const move = useCallback(
    (index: number) => {
      if (index < 0 || index > last) return
      scrollToIndex(index)
      requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus())
    },
    [last, scrollToIndex],
  )
  return (
    <div
      ref={scroller}
      className="g-table"
      role="table"
      aria-label={label}
      // What scrolls must be reachable by keys, when its rows are not.
      tabIndex={onOpen ? undefined : 0}
      aria-rowcount={shown.length + 1}
      style={{ maxHeight: height }}
      onMouseOver={tellCut}
    >
      <div role="rowgroup" className="g-table-head" style={{ minWidth: least }}>
        <div role="row" className="g-table-row" style={{ gridTemplateColumns: grid }}>
          {columns.map((column) => {
            const active = sort?.key === column.key
            return (
              <div
                key={column.key}
                role="columnheader"
                className={column.align === 'right' ? 'g-right' : undefined}
                aria-sort={active ? (sort.descending ? 'descending' : 'ascending') : undefined}
              >
                {column.compare ? (
                  <button
                    type="button"
                    title={t.sorted(column.title)}
                    onClick={() =>
                      setSort({ key: column.key, descending: active ? !sort.descending : column.align === 'right' })
                    }
                  >
                    {column.title}
                    <span aria-hidden>{active ? (sort.descending ? ' ↓' : ' ↑') : ''}</span>
                  </button>
                ) : (
                  (column.head ?? column.title)
                )}
              </div>
            )
          })}
        </div>
      </div>
      {shown.length === 0 ? (
        empty
      ) : (
        <div role="rowgroup" style={{ height: virtual.getTotalSize(), minWidth: least, position: 'relative' }}>
          {virtual.getVirtualItems().map((item) => {
            const row = shown[item.index]!
            const id = rowKey(row)
            return (
              <TableRow
                key={id}
                row={row}
                index={item.index}
                top={item.start}
                height={rowHeight}
                grid={grid}
                columns={columns}
                selected={selected === undefined ? undefined : selected === id}
                onOpen={onOpen}
                move={move}
              />
            )
          })}
        </div>
      )}
    </div>
  )
}

interface TableRowProps<Row> {
  row: Row
  index: number
  top: number
  height: number
  grid: string
  columns: readonly Column<Row>[]
  selected: boolean | undefined
  onOpen: ((row: Row) => void) | undefined
  move: (index: number) => void
}

// While one scrolls, only rows that come into sight are made. That holds as long as `columns` and `onOpen` stay the same.
const TableRow = memo(function TableRow<Row>({
  row,
  index,
  top,
  height,
  grid,
  columns,
  selected,
  onOpen,
  move,
}: TableRowProps<Row>) {
  return (
    <div
      role="row"
      data-index={index}
      aria-rowindex={index + 2}
      aria-selected={selected}
      tabIndex={onOpen ? 0 : undefined}
      className={`g-table-row${onOpen ? ' g-open' : ''}${selected ? ' g-selected' : ''}`}
      style={{
        gridTemplateColumns: grid,
        height,
        transform: `translateY(${top}px)`,
        position: 'absolute',
        insetInline: 0,
      }}
      onClick={(event) => {
        // What a row opens elsewhere on the page, a menu or a dialog, tells the row of its clicks too.
        if (!event.currentTarget.contains(event.target as Node)) return
        // A link or a button in the row does what it says, and text can be marked.
        if ((event.target as HTMLElement).closest('a, button, label, input') || getSelection()?.toString()) return
        onOpen?.(row)
      }}
      onKeyDown={(event) => {
        if (event.target !== event.currentTarget) return
        if (event.key === 'Enter') onOpen?.(row)
        if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
          event.preventDefault()
          move(index + (event.key === 'ArrowDown' ? 1 : -1))
        }
      }}
    >
      {columns.map((column) => (
        <div key={column.key} role="cell" className={column.align === 'right' ? 'g-right g-num' : undefined}>
          {column.render(row)}
        </div>
      ))}
    </div>
  )
}) as <Row>(props: TableRowProps<Row>) => ReactNode
