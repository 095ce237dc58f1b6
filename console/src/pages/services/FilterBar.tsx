import { SearchOutlined } from '@ant-design/icons'
import { Button, Input, Select } from 'antd'
import { useDeferredValue, useEffect, useState } from 'react'
import { useSearchParams } from 'react-router'
import { useMessages } from '@/app/i18n'
import { clear } from '@/ui/clear'
import { texts } from './messages'
import { choicesOf, conditions, filterNames, isFiltered, type FilterName, type Filters, type ServiceRow } from './rows'

const states = ['healthy', 'degraded', 'unavailable', 'empty', 'signals', ...conditions] as const

/** Search and filters; they live in the address. */
export function FilterBar({
  rows,
  filters,
  shown,
}: {
  rows: readonly ServiceRow[]
  filters: Filters
  /** How many the filters leave; undefined while that is not known. */
  shown: number | undefined
}) {
  const t = useMessages(texts)
  const [, setSearch] = useSearchParams()
  const set = (name: string, values: readonly string[]) =>
    setSearch(
      (old) => {
        const changed = new URLSearchParams(old)
        changed.delete(name)
        for (const value of values) if (value) changed.append(name, value)
        return changed
      },
      { replace: true },
    )
  const word = (value: string): string => {
    const all: Record<string, string> = { ...t.states, ...t.condition }
    return all[value] ?? value
  }
  const choices = (name: FilterName) => (name === 'state' ? [...states] : choicesOf(rows, name, filters[name]))
  return (
    <div className="g-toolbar g-services-filters" role="search">
      <SearchBox value={filters.search} onChange={(text) => set('q', [text])} label={t.search} />
      {filterNames.map((name) => {
        const values = choices(name)
        // A filter that offers one thing, as groups do in most fleets, is only in the way.
        if (values.length < 2 && filters[name].length === 0) return null
        return (
          <Select
            key={name}
            mode="multiple"
            allowClear
            maxTagCount="responsive"
            className="g-services-filter"
            popupMatchSelectWidth={false}
            placeholder={t.filters[name]}
            aria-label={t.filters[name]}
            value={[...filters[name]]}
            options={values.map((value) => ({ value, label: name === 'state' ? word(value) : value }))}
            onChange={(chosen: string[]) => set(name, chosen)}
          />
        )
      })}
      {isFiltered(filters) && (
        <Button
          type="link"
          onClick={() =>
            setSearch((old) => {
              const changed = new URLSearchParams(old)
              for (const name of ['q', ...filterNames]) changed.delete(name)
              return changed
            })
          }
        >
          {t.clear}
        </Button>
      )}
      <span className="g-secondary g-num g-services-count" role="status">
        {shown !== undefined && t.shown(shown, rows.length)}
      </span>
    </div>
  )
}

/** The box follows the fingers; the address, and with it the list, follows when there is time. */
function SearchBox({ value, onChange, label }: { value: string; onChange: (text: string) => void; label: string }) {
  const [text, setText] = useState(value)
  const [told, setTold] = useState(value)
  if (value !== told) {
    // Changed from elsewhere: a saved view, back, or Clear.
    setTold(value)
    setText(value)
  }
  const settled = useDeferredValue(text)
  useEffect(() => {
    if (settled === told) return
    setTold(settled)
    onChange(settled)
    // onChange is made anew with every render.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [settled])
  return (
    <Input
      allowClear={clear}
      type="search"
      className="g-services-search"
      prefix={<SearchOutlined aria-hidden />}
      placeholder={label}
      aria-label={label}
      value={text}
      onChange={(event) => setText(event.target.value)}
    />
  )
}
