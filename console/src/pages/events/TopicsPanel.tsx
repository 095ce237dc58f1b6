import type { UseQueryResult } from '@tanstack/react-query'
import type { TopicsResponse } from '@/api/gen/gantry/v1/event_pb'
import { useMessages } from '@/app/i18n'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { count, dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { Ago } from '@/ui/Time'
import { texts } from './messages'

/** What kinds of events there are, with the types of their fields. */
export function TopicsPanel({
  topics,
  chosen,
  choose,
}: {
  topics: UseQueryResult<TopicsResponse>
  chosen: string
  choose: (topic: string) => void
}) {
  const t = useMessages(texts)
  return (
    <Panel title={t.topics} className="g-panel-flush">
      <Answer query={topics} count={4}>
        {(answer) =>
          answer.topics.length === 0 ? (
            <Empty title={t.noTopics}>{t.noTopicsHint}</Empty>
          ) : (
            <ul className="g-events-topics">
              {answer.topics.map((topic) => (
                <li key={topic.name}>
                  <button
                    type="button"
                    aria-pressed={topic.name === chosen}
                    onClick={() => choose(topic.name === chosen ? '' : topic.name)}
                  >
                    <strong className="g-break">{topic.name}</strong>
                    <span className="g-num">{count(topic.events)}</span>
                    <span className="g-secondary g-break">
                      {Object.entries(topic.fields)
                        .sort(([a], [b]) => (a < b ? -1 : 1))
                        .map(([name, type]) => `${name}: ${type}`)
                        .join(', ')}
                    </span>
                    <span className="g-secondary">
                      <Ago at={dateOf(topic.last)} />
                    </span>
                  </button>
                </li>
              ))}
            </ul>
          )
        }
      </Answer>
    </Panel>
  )
}
