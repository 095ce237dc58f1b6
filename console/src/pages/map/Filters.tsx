import { SearchOutlined, WarningOutlined } from '@ant-design/icons'
import { Button, Input, Segmented, Select, Tooltip } from 'antd'
import { useMessages } from '@/app/i18n'
import { clear } from '@/ui/clear'
import { rate } from '@/ui/format'
import { groupings, type MapGraph } from './graph'
import { texts } from './messages'
import type { MapState } from './state'

const rates = [0.01, 0.1, 1, 10, 100]

export interface FiltersProps {
  state: MapState
  set: (change: Partial<Record<keyof MapState, string | undefined>>) => void
  graph: MapGraph
  lanes: readonly string[]
  unwell: number
  least: number
  found?: number
}

export function Filters({ state, set, graph, lanes, unwell, least, found }: FiltersProps) {
  const t = useMessages(texts).filters
  const leastOptions = [...new Set([0, ...rates, least])].sort((a, b) => a - b)
  return (
    <div className="g-toolbar g-map-filters" role="group" aria-label={t.label}>
      <Tooltip title={t.unwellHint}>
        <Button
          danger={unwell > 0}
          type={state.unwell ? 'primary' : 'default'}
          icon={<WarningOutlined />}
          aria-pressed={state.unwell}
          onClick={() => set({ unwell: state.unwell ? undefined : '1' })}
        >
          {t.unwell} {unwell}
        </Button>
      </Tooltip>
      <Input
        className="g-map-search"
        prefix={<SearchOutlined />}
        placeholder={t.search}
        aria-label={t.search}
        allowClear={clear}
        value={state.search}
        suffix={found === undefined ? <span /> : <span className="g-secondary">{t.found(found)}</span>}
        onChange={(event) => set({ search: event.target.value })}
      />
      <Select
        className="g-map-focus"
        aria-label={t.focus}
        showSearch
        value={state.focus}
        options={[{ value: '', label: t.everything }, ...graph.nodes.map(({ name }) => ({ value: name, label: name }))]}
        onChange={(focus: string) => set({ focus })}
        popupMatchSelectWidth={false}
      />
      {state.focus && (
        <Select
          aria-label={t.hops}
          value={state.hops}
          options={[1, 2, 3, 4, 5].map((hops) => ({ value: hops, label: t.hopsLabel(hops) }))}
          onChange={(hops) => set({ hops: hops === 1 ? undefined : String(hops) })}
        />
      )}
      <Select
        aria-label={t.least}
        value={least}
        options={leastOptions.map((value) => ({ value, label: value === 0 ? t.leastAll : t.leastOf(rate(value)) }))}
        onChange={(value) => set({ least: String(value) })}
        popupMatchSelectWidth={false}
      />
      <Select
        aria-label={t.group}
        value={state.group}
        options={groupings.map((value) => ({ value, label: t.groups[value] }))}
        onChange={(group) => set({ group: group === 'none' ? undefined : group, open: undefined })}
        popupMatchSelectWidth={false}
      />
      {(lanes.length > 0 || state.lane) && (
        <Select
          aria-label={t.lane}
          value={state.lane}
          options={[
            { value: '', label: t.allLanes },
            ...[...new Set([...lanes, ...(state.lane ? [state.lane] : [])])].map((lane) => ({
              value: lane,
              label: lane,
            })),
          ]}
          onChange={(lane: string) => set({ lane })}
          popupMatchSelectWidth={false}
        />
      )}
      <span className="g-grow" />
      <Segmented
        aria-label={t.view}
        value={state.view}
        options={[
          { value: 'map', label: t.map },
          { value: 'table', label: t.table },
        ]}
        onChange={(view) => set({ view: view === 'map' ? undefined : view })}
      />
    </div>
  )
}
