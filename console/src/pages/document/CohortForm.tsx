import { InputNumber, Select, Slider } from 'antd'
import { useMemo } from 'react'
import { useQuery } from '@tanstack/react-query'
import { instancesOf } from '@/api/fleet'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { texts } from './messages'
import type { CohortText } from './reference'

const marks = { 10: '10%', 50: '50%', 100: '100%' }
/** Labels with more values than this name instances, not groups of them. */
const fewValues = 40

/** Whom a stage is for. All that is set must match. */
export function CohortForm({ cohort, set }: { cohort: CohortText; set: (cohort: CohortText) => void }) {
  const t = useMessages(texts).cohort
  const namespace = useNamespace()
  const instances = useQuery(instancesOf(namespace))
  // What instances carry is offered, so that nobody has to know it by heart.
  const labels = useMemo(() => {
    const values = new Map<string, Set<string>>()
    for (const instance of instances.data ?? [])
      for (const [name, value] of Object.entries(instance.labels))
        values.set(name, (values.get(name) ?? new Set()).add(value))
    return [...values]
      .filter(([, few]) => few.size <= fewValues)
      .flatMap(([name, few]) => [...few].sort().map((value) => `${name}=${value}`))
      .sort()
  }, [instances.data])
  const percent = Number(cohort.percent)
  const valid = percent > 0 && percent <= 100
  return (
    <div className="g-document-cohort">
      <label htmlFor="cohort-percent">{t.percent}</label>
      <div className="g-document-percent">
        <Slider
          min={1}
          max={100}
          marks={marks}
          value={valid ? percent : 1}
          tooltip={{ formatter: (value) => `${value}%` }}
          ariaLabelForHandle={t.percentSlider}
          onChange={(value) => set({ ...cohort, percent: String(value) })}
        />
        <InputNumber
          id="cohort-percent"
          min={0.01}
          max={100}
          value={cohort.percent === '' ? null : percent}
          suffix="%"
          placeholder={t.noPercent}
          onChange={(value) => set({ ...cohort, percent: value === null ? '' : String(value) })}
        />
      </div>
      <label htmlFor="cohort-labels">{t.labels}</label>
      <Select
        id="cohort-labels"
        mode="tags"
        value={cohort.labels}
        placeholder={t.labelsHint}
        tokenSeparators={[',', ' ']}
        options={labels.map((label) => ({ value: label, label }))}
        status={cohort.labels.some((label) => label.indexOf('=') < 1) ? 'error' : undefined}
        onChange={(labels) => set({ ...cohort, labels })}
      />
      <label htmlFor="cohort-addresses">{t.addresses}</label>
      <Select
        id="cohort-addresses"
        mode="tags"
        value={cohort.addresses}
        placeholder={t.addressesHint}
        tokenSeparators={[',', ' ']}
        open={false}
        suffixIcon={null}
        onChange={(addresses) => set({ ...cohort, addresses })}
      />
    </div>
  )
}
