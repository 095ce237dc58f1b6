import { ClockCircleOutlined } from '@ant-design/icons'
import { Button, Divider, Form, Input, Popover } from 'antd'
import { useState } from 'react'
import { useMessages } from '@/app/i18n'
import { dateTime } from './format'
import { texts } from './messages'
import { moment, type UsedTimeRange } from './timeRange'

const choices = ['5m', '15m', '1h', '6h', '24h', '7d'] as const

/** An absolute bound is shown in the browser's zone, a relative one as it is. */
const readable = (word: string) =>
  /^\d{4}/.test(word) && !Number.isNaN(Date.parse(word)) ? dateTime(new Date(word)) : word

/** What one may type: now, -1h, RFC 3339, or a date and time of the browser's zone. */
export function wordOf(typed: string): string | undefined {
  const text = typed.trim()
  if (moment(text, 0) !== undefined) return text
  const local = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d)?)$/.exec(text)
  if (!local) return undefined
  const at = new Date(`${local[1]}T${local[2]}`)
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString()
}

export function TimeRangePicker({ range }: { range: UsedTimeRange }) {
  const t = useMessages(texts).range
  const [open, setOpen] = useState(false)
  const chosen = range.relative ? t.last(range.from.slice(1)) : `${readable(range.from)} – ${readable(range.to)}`
  const check = {
    validator: (_: unknown, value: string) =>
      wordOf(value ?? '') ? Promise.resolve() : Promise.reject(new Error('2026-11-26 14:00, -1h, now')),
  }
  return (
    <Popover
      trigger="click"
      open={open}
      onOpenChange={setOpen}
      placement="bottomRight"
      destroyOnHidden
      content={
        <div className="g-range">
          <div className="g-range-choices">
            {choices.map((choice) => (
              <Button
                key={choice}
                size="small"
                type={range.relative && range.from === `-${choice}` ? 'primary' : 'default'}
                onClick={() => {
                  setOpen(false)
                  range.set({ from: `-${choice}`, to: 'now' })
                }}
              >
                {t.last(choice)}
              </Button>
            ))}
          </div>
          <Divider size="small" />
          <Form
            layout="vertical"
            size="small"
            requiredMark={false}
            initialValues={{ from: readable(range.from), to: readable(range.to) }}
            onFinish={(values: { from: string; to: string }) => {
              setOpen(false)
              range.set({ from: wordOf(values.from)!, to: wordOf(values.to)! })
            }}
          >
            <Form.Item name="from" label={t.from} rules={[check]}>
              <Input />
            </Form.Item>
            <Form.Item name="to" label={t.to} rules={[check]}>
              <Input />
            </Form.Item>
            <Button type="primary" htmlType="submit" block>
              {t.apply}
            </Button>
          </Form>
        </div>
      }
    >
      <Button icon={<ClockCircleOutlined />} aria-label={`${t.label}: ${chosen}`}>
        {chosen}
      </Button>
    </Popover>
  )
}
