import { Button, Checkbox, Select, Tag } from 'antd'
import type { EventTopic } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { traceId } from '@/app/matching'
import { StateTag } from '@/ui/StateTag'
import { AttributeInput, Choice, Field, Typed } from '../traces/ConditionsBar'
import { outcomes } from '../traces/conditions'
import { fieldsOf, limits, offers, type Conditions } from './conditions'
import { texts } from './messages'

export function ConditionsBar({
  conditions,
  topics,
  services,
  following,
  change,
}: {
  conditions: Conditions
  topics: readonly EventTopic[]
  services: readonly string[]
  following: boolean
  change: (change: Partial<Conditions>) => void
}) {
  const t = useMessages(texts)
  const fields = [...fieldsOf(topics, conditions.topic)].map(([name, type]) => ({ key: name, example: type }))
  return (
    <div className="g-traces-conditions" role="group" aria-label={t.conditions}>
      <Field label={t.topic} wide>
        <Choice label={t.topic} value={conditions.topic} names={offers(topics)} choose={(topic) => change({ topic })} />
      </Field>
      <Field label={t.service}>
        <Choice
          label={t.service}
          value={conditions.service}
          names={services}
          choose={(service) => change({ service })}
        />
      </Field>
      <Field label={t.outcome}>
        <Checkbox.Group
          className="g-traces-outcomes"
          value={conditions.outcomes}
          onChange={(chosen) => change({ outcomes: outcomes.filter((outcome) => chosen.includes(outcome)) })}
          options={outcomes.map((outcome) => ({ value: outcome, label: <StateTag state={outcome} /> }))}
        />
      </Field>
      <Field label={t.field} wide>
        <AttributeInput
          label={t.field}
          placeholder="name=value"
          keys={fields}
          add={([name, value]) =>
            change({ fields: [...conditions.fields.filter(([known]) => known !== name), [name, value]] })
          }
        />
      </Field>
      <Field label={t.trace} wide>
        <Typed
          label={t.trace}
          placeholder={t.any}
          value={conditions.trace}
          commit={(trace) => change({ trace: traceId(trace) ?? trace })}
        />
      </Field>
      {!following && (
        <Field label={t.limit}>
          <Select
            aria-label={t.limit}
            value={conditions.limit}
            onChange={(limit) => change({ limit })}
            options={limits.map((limit) => ({ value: limit, label: t.newest(limit) }))}
          />
        </Field>
      )}
      <Button type="text" onClick={() => change({ topic: '', service: '', outcomes: [], trace: '', fields: [] })}>
        {t.clear}
      </Button>
      {conditions.fields.length > 0 && (
        <div className="g-traces-chips">
          {conditions.fields.map(([name, value]) => (
            <Tag
              key={name}
              className="g-mono g-break"
              color="blue"
              closable
              closeIcon={<span aria-label={t.remove(`${name}=${value}`)}>×</span>}
              onClose={() => change({ fields: conditions.fields.filter(([known]) => known !== name) })}
            >
              {name}={value}
            </Tag>
          ))}
        </div>
      )}
    </div>
  )
}
