import { Alert } from 'antd'
import type { Answered as About } from '@/api/gen/gantry/v1/topology_pb'
import { useMessages } from '@/app/i18n'
import { dateOf, dateTime, seconds } from './format'
import { messages } from '@/app/i18n'

const texts = messages(
  {
    missing: (nodes: string) => `What these nodes counted is missing, they did not answer: ${nodes}`,
    partial: (since: string) => `Nothing older than ${since} is known: the answer begins later than asked for.`,
    average: (time: string) => `average of ${time}`,
  },
  {
    missing: (nodes) => `以下节点没有响应，缺少它们统计的数据：${nodes}`,
    partial: (since) => `没有早于 ${since} 的数据：结果的起点晚于所查询的时间。`,
    average: (time) => `${time} 内的平均值`,
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

/** Over which time its figures are averages: figures of now stand beside. */
export function AverageOf({ about }: { about: About | undefined }) {
  const t = useMessages(texts)
  const [since, until] = [dateOf(about?.since), dateOf(about?.until)]
  if (!since || !until) return null
  return (
    <span className="g-secondary" title={`${dateTime(since)} – ${dateTime(until)}`}>
      {t.average(seconds(Math.max(1, Math.round((until.getTime() - since.getTime()) / 1000))))}
    </span>
  )
}
