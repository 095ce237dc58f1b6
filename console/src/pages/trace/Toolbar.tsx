import {
  CompressOutlined,
  DownOutlined,
  ExpandOutlined,
  MinusOutlined,
  PlusOutlined,
  SearchOutlined,
  UpOutlined,
} from '@ant-design/icons'
import { Button, Input, Segmented, Switch, Tooltip, type InputRef } from 'antd'
import { memo, type Ref } from 'react'
import { useMessages } from '@/app/i18n'
import { clear } from '@/ui/clear'
import { texts } from './messages'
import type { Node, Trace } from './model'
import { filters, type Filter, type Shown } from './useTraceState'
import { zoom } from './view'

export const Toolbar = memo(function Toolbar({
  trace,
  state,
  matches,
  at,
  go,
  clocksDiffer,
  inputRef,
}: {
  trace: Trace
  state: Shown
  matches: readonly Node[]
  /** Which of them is chosen; -1 for none. */
  at: number
  go: (node: Node) => void
  clocksDiffer: boolean
  inputRef: Ref<InputRef>
}) {
  const t = useMessages(texts)
  const turn = (by: number) => {
    const next = matches[at < 0 ? (by > 0 ? 0 : matches.length - 1) : (at + by + matches.length) % matches.length]
    if (next) go(next)
  }
  const words: Record<Filter, string> = { all: t.all, matches: t.onlyMatches, failed: t.onlyFailed, path: t.onlyPath }
  const scale = (factor: number) => state.setView(zoom(state.view, trace.duration, factor))
  return (
    <div className="g-toolbar g-trace-toolbar" role="toolbar" aria-label={t.waterfall}>
      <Input
        ref={inputRef}
        className="g-trace-search"
        value={state.typed}
        maxLength={200}
        allowClear={clear}
        prefix={<SearchOutlined className="g-secondary" />}
        placeholder={t.searchHint}
        aria-label={t.search}
        suffix={
          state.typed && (
            <span className="g-secondary g-num" role="status">
              {t.matches(at + 1, matches.length)}
            </span>
          )
        }
        onChange={(event) => state.setTyped(event.target.value)}
        onKeyDown={(event) => {
          if (event.nativeEvent.isComposing) return
          if (event.key === 'Enter') turn(event.shiftKey ? -1 : 1)
          if (event.key === 'Escape') state.setTyped('')
        }}
      />
      <Button
        icon={<UpOutlined />}
        aria-label={t.previous}
        title={t.previous}
        disabled={matches.length === 0}
        onClick={() => turn(-1)}
      />
      <Button
        icon={<DownOutlined />}
        aria-label={t.next}
        title={t.next}
        disabled={matches.length === 0}
        onClick={() => turn(1)}
      />
      <Segmented<Filter>
        aria-label={t.show}
        value={state.filter}
        onChange={state.setFilter}
        options={filters.map((value) => ({
          value,
          label: words[value],
          disabled: value === 'matches' && !state.typed,
        }))}
      />
      <Button
        type="text"
        icon={<ExpandOutlined />}
        aria-label={t.expand}
        title={t.expand}
        onClick={() => state.setCollapsed(new Set())}
      />
      <Button
        type="text"
        icon={<CompressOutlined />}
        aria-label={t.collapse}
        title={t.collapse}
        onClick={() =>
          state.setCollapsed(
            new Set(trace.nodes.filter((n) => n.children.length > 0 && n.depth > 0).map((n) => n.span.spanId)),
          )
        }
      />
      <Button type="text" icon={<PlusOutlined />} aria-label={t.zoomIn} title={t.zoomIn} onClick={() => scale(0.5)} />
      <Button
        type="text"
        icon={<MinusOutlined />}
        aria-label={t.zoomOut}
        title={t.zoomOut}
        disabled={!state.zoomed}
        onClick={() => scale(2)}
      />
      {state.zoomed && (
        <Button type="text" onClick={() => state.setView(undefined)}>
          {t.zoomAll}
        </Button>
      )}
      {clocksDiffer && (
        <Tooltip title={t.clocksHint}>
          <label className="g-trace-clocks">
            <Switch size="small" checked={!state.rawClocks} onChange={(on) => state.setRawClocks(!on)} /> {t.clocks}
          </label>
        </Tooltip>
      )}
    </div>
  )
})
