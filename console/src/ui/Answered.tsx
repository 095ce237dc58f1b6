import { Alert } from 'antd'
import type { Answered as About } from '@/api/gen/gantry/v1/topology_pb'
import { useMessages } from '@/app/i18n'
import { dateOf, dateTime } from './format'
import { messages } from '@/app/i18n'

const texts = messages(
  {
    missing: (nodes: string) => `What these nodes counted is missing, they did not answer: ${nodes}`,
    partial: (since: string) => `Nothing older than ${since} is known: the answer begins later than asked for.`,
  },
  {
    missing: (nodes) => `以下节点没有响应，缺少它们统计的数据：${nodes}`,
    partial: (since) => `没有早于 ${since} 的数据：结果的起点晚于所查询的时间。`,
  },
)

/** Says what an answer lacks; nothing when it is whole. */
export function Answered({ about }: { about: About | undefined }) {
  const t = useMessages(texts)
  if (!about || (!about.partial && about.missingNodes.length === 0)) return null
  const title =
    about.missingNodes.length > 0 ? t.missing(about.missingNodes.join(', ')) : t.partial(dateTime(dateOf(about.since)))
  return <Alert type={about.missingNodes.length > 0 ? 'warning' : 'info'} showIcon title={title} />
}
