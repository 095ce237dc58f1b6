import { RiseOutlined } from '@ant-design/icons'
import { Tag } from 'antd'
import type { Change } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

/** Says that an error began lately, and after what. */
export function FreshTag({ change }: { change?: Change }) {
  const t = useMessages(texts)
  const text = change ? t.freshAfter(`${change.kind} ${change.target || change.instance || change.service}`) : t.fresh
  return (
    <Tag color="warning" icon={<RiseOutlined />} className="g-errors-fresh" title={text}>
      {text}
    </Tag>
  )
}
