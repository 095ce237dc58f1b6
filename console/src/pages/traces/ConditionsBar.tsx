import { useQuery } from '@tanstack/react-query'
import { AutoComplete, Button, Checkbox, Input, Select, Tag } from 'antd'
import { useState, type ReactNode } from 'react'
import { traces } from '@/api/clients/traces'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { clear } from '@/ui/clear'
import { StateTag } from '@/ui/StateTag'
import { kinds, limits, milliseconds, outcomes, pair, type Conditions, type TextCondition } from './conditions'
import { valuesOf, type KnownKey } from './lookup'
import { texts } from './messages'

interface Props {
  namespace: string
  conditions: Conditions
  keys: readonly KnownKey[]
  change: (change: Partial<Conditions>) => void
}

const rare = ['kind', 'instance', 'version', 'lane', 'release'] as const

export function ConditionsBar({ namespace, conditions, keys, change }: Props) {
  const t = useMessages(texts).conditions
  const [open, setOpen] = useState(false)
  const more = open || rare.some((name) => conditions[name])
  const names = useQuery({
    queryKey: key('traces', namespace, 'services'),
    queryFn: ({ signal }) => traces.listTraceNames({ namespace }, { signal }),
    staleTime: 60_000,
  })
  const endpoints = useQuery({
    queryKey: key('traces', namespace, 'endpoints', conditions.service),
    queryFn: ({ signal }) => traces.listTraceNames({ namespace, service: conditions.service }, { signal }),
    enabled: conditions.service !== '',
    staleTime: 60_000,
  })
  const clear = () =>
    change({
      ...{ service: '', endpoint: '', kind: '', instance: '', version: '', lane: '', release: '', min: '', max: '' },
      outcomes: [],
      attributes: [],
    })
  const text = (name: TextCondition) => (
    <Field label={t[name]}>
      <Typed
        label={t[name]}
        placeholder={t.any}
        value={conditions[name]}
        commit={(value) => change({ [name]: value })}
      />
    </Field>
  )
  const time = (name: 'min' | 'max') => (
    <Field label={t[name]}>
      <Typed
        label={t[name]}
        placeholder={name === 'min' ? '250ms' : '2s'}
        value={conditions[name]}
        check={(value) => (value === '' || milliseconds(value) !== undefined ? undefined : t.durationBad)}
        commit={(value) => change({ [name]: value })}
      />
    </Field>
  )
  return (
    <div className="g-traces-conditions" role="group" aria-label={t.label}>
      <Field label={t.service} wide>
        <Choice
          label={t.service}
          value={conditions.service}
          names={names.data?.names}
          loading={names.isFetching}
          choose={(service) => change({ service, endpoint: '' })}
        />
      </Field>
      <Field label={t.endpoint} wide>
        <Choice
          label={t.endpoint}
          value={conditions.endpoint}
          names={endpoints.data?.names}
          loading={endpoints.isFetching}
          choose={(endpoint) => change({ endpoint })}
          disabled={conditions.service === ''}
        />
      </Field>
      {time('min')}
      {time('max')}
      <Field label={t.outcome}>
        <Checkbox.Group
          className="g-traces-outcomes"
          value={conditions.outcomes}
          onChange={(chosen) => change({ outcomes: outcomes.filter((outcome) => chosen.includes(outcome)) })}
          options={outcomes.map((outcome) => ({ value: outcome, label: <StateTag state={outcome} /> }))}
        />
      </Field>
      <Field label={t.attribute} wide>
        <AttributeInput
          label={t.attribute}
          placeholder={keys[0] ? `${keys[0].key}=${keys[0].example}` : 'key=value'}
          keys={keys}
          values={(name, prefix, signal) => valuesOf(namespace, conditions.service, name, prefix, signal)}
          scope={`${namespace}/${conditions.service}`}
          add={([name, value]) =>
            change({ attributes: [...conditions.attributes.filter(([k]) => k !== name), [name, value]] })
          }
        />
      </Field>
      {more && (
        <>
          <Field label={t.kind}>
            <Choice label={t.kind} value={conditions.kind} names={kinds} choose={(kind) => change({ kind })} />
          </Field>
          {text('instance')}
          {text('version')}
          {text('lane')}
          {text('release')}
        </>
      )}
      <Field label={t.limit}>
        <Select
          aria-label={t.limit}
          value={conditions.limit}
          onChange={(limit) => change({ limit })}
          options={limits.map((limit) => ({ value: limit, label: t.newest(limit) }))}
        />
      </Field>
      <div className="g-traces-buttons">
        <Button type="text" aria-expanded={more} onClick={() => setOpen(!more)} disabled={more && !open}>
          {more ? t.fewer : t.more}
        </Button>
        <Button type="text" onClick={clear}>
          {t.clear}
        </Button>
      </div>
      {conditions.attributes.length > 0 && (
        <div className="g-traces-chips">
          {conditions.attributes.map(([name, value]) => (
            <Tag
              key={name}
              className="g-mono g-break"
              color="blue"
              closable
              closeIcon={<span aria-label={t.remove(`${name}=${value}`)}>×</span>}
              onClose={() => change({ attributes: conditions.attributes.filter(([k]) => k !== name) })}
            >
              {name}={value}
            </Tag>
          ))}
        </div>
      )}
    </div>
  )
}

export function Field({ label, wide, children }: { label: string; wide?: boolean; children: ReactNode }) {
  return (
    <div className={`g-traces-field${wide ? ' g-traces-wide' : ''}`}>
      <span className="g-secondary" aria-hidden>
        {label}
      </span>
      {children}
    </div>
  )
}

export function Choice({
  label,
  value,
  names = [],
  choose,
  disabled,
  loading,
}: {
  label: string
  value: string
  names?: readonly string[]
  choose: (value: string) => void
  disabled?: boolean
  loading?: boolean
}) {
  const t = useMessages(texts).conditions
  const all = value && !names.includes(value) ? [value, ...names] : names
  return (
    <Select
      aria-label={label}
      placeholder={t.any}
      value={value || undefined}
      showSearch
      allowClear
      disabled={disabled}
      loading={loading}
      popupMatchSelectWidth={false}
      options={all.map((name) => ({ value: name, label: name }))}
      onChange={(next?: string) => choose(next ?? '')}
    />
  )
}

/** A text that counts when it is entered or left, not with every letter. */
export function Typed({
  label,
  value,
  placeholder,
  check,
  commit,
}: {
  label: string
  value: string
  placeholder: string
  /** What is wrong with it. */
  check?: (value: string) => string | undefined
  commit: (value: string) => void
}) {
  const [typed, setTyped] = useState(value)
  const [before, setBefore] = useState(value)
  if (before !== value) {
    setBefore(value)
    setTyped(value)
  }
  const wrong = check?.(typed.trim())
  const done = () => {
    if (!wrong && typed.trim() !== value) commit(typed.trim())
  }
  return (
    <Input
      aria-label={label}
      aria-invalid={wrong !== undefined}
      title={wrong}
      status={wrong ? 'error' : undefined}
      value={typed}
      maxLength={300}
      placeholder={placeholder}
      allowClear={clear}
      onChange={(event) => {
        setTyped(event.target.value)
        // The cross clears at once.
        if (event.target.value === '' && event.type === 'click') commit('')
      }}
      onBlur={done}
      onPressEnter={done}
    />
  )
}

/** How many letters of a value are asked for. */
const asked = 4

export function AttributeInput({
  label,
  placeholder,
  keys,
  values,
  scope = '',
  add,
}: {
  label: string
  placeholder: string
  keys: readonly KnownKey[]
  /** Frequent values of a key that begin with something; without it none are offered. */
  values?: (key: string, prefix: string, signal: AbortSignal) => Promise<readonly string[]>
  /** What values are of, beside their key. */
  scope?: string
  add: (attribute: [key: string, value: string]) => void
}) {
  const t = useMessages(texts).conditions
  const [typed, setTyped] = useState('')
  const [wrong, setWrong] = useState(false)
  const name = typed.split('=')[0]!.trim().toLowerCase()
  const at = typed.indexOf('=')
  const offered = at >= 0 ? [] : keys.filter((known) => known.key.toLowerCase().includes(name)).slice(0, 50)
  const of = at < 0 ? '' : typed.slice(0, at).trim()
  const begun = at < 0 ? '' : typed.slice(at + 1).trim()
  // Asked for again with the first letters alone: what is typed after them chooses among those that came.
  const prefix = begun.slice(0, asked)
  const known = useQuery({
    queryKey: ['attribute-values', scope, of, prefix],
    queryFn: ({ signal }) => values!(of, prefix, signal),
    enabled: values !== undefined && of !== '',
    placeholderData: (before, query) => (query?.queryKey[2] === of ? before : undefined),
    staleTime: 60_000,
    retry: false,
  })
  const frequent = (of === '' ? [] : (known.data ?? [])).filter(
    (value) => value !== begun && value.toLowerCase().startsWith(begun.toLowerCase()),
  )
  const enter = () => {
    const known = pair(typed)
    setWrong(!known && typed.trim() !== '')
    if (!known) return
    add(known[0])
    setTyped('')
  }
  return (
    <AutoComplete
      value={typed}
      popupMatchSelectWidth={false}
      options={[
        ...offered.map((known) => ({
          value: `${known.key}=`,
          label: (
            <span className="g-traces-key">
              <code>{known.key}</code>
              {known.example && <span className="g-secondary g-cut">{known.example}</span>}
            </span>
          ),
        })),
        ...frequent.map((value) => ({ value: `${of}=${value}`, label: <code className="g-cut">{value}</code> })),
      ]}
      onChange={(value: string) => {
        setTyped(value)
        setWrong(false)
      }}
    >
      <Input
        aria-label={label}
        placeholder={placeholder}
        status={wrong ? 'error' : undefined}
        title={wrong ? t.attributeBad : undefined}
        maxLength={300}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.nativeEvent.isComposing || !pair(typed)) return
          event.stopPropagation()
          enter()
        }}
        onBlur={enter}
      />
    </AutoComplete>
  )
}
