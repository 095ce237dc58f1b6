import { SwapOutlined } from '@ant-design/icons'
import type { UseQueryResult } from '@tanstack/react-query'
import { Button } from 'antd'
import { useMemo } from 'react'
import { useSearchParams } from 'react-router'
import type { GetTraceResponse } from '@/api/gen/gantry/v1/trace_pb'
import { useMessages } from '@/app/i18n'
import { traceId } from '@/app/matching'
import { useNamespace } from '@/app/namespace'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { count, seconds, shortId } from '@/ui/format'
import { Page, Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Time } from '@/ui/Time'
import { buildTrace, isFailed, type Trace } from '../trace/model'
import { useTrace } from '../trace/queries'
import { texts as tracesTexts } from '../traces/messages'
import { Differences } from './Differences'
import { texts } from './messages'
import { Picker } from './Picker'
import './compare.css'

type SideName = 'left' | 'right'

/** Two traces: where the one spent more than the other, and what ran differently. */
export default function Compare() {
  const t = useMessages(texts)
  const list = useMessages(tracesTexts).title
  const namespace = useNamespace()
  const [search, setSearch] = useSearchParams()
  const left = useSide(namespace, traceId(search.get('left') ?? '') ?? '')
  const right = useSide(namespace, traceId(search.get('right') ?? '') ?? '')
  const put = (changed: Partial<Record<SideName, string>>) =>
    setSearch((old) => {
      const next = new URLSearchParams(old)
      for (const [side, id] of Object.entries(changed)) {
        if (id) next.set(side, id)
        else next.delete(side)
      }
      return next
    })
  return (
    <Page
      title={t.title}
      crumbs={[{ title: list, to: paths.traces(namespace) }, { title: t.title }]}
      views="compare"
      actions={
        <Button
          icon={<SwapOutlined />}
          disabled={!left.id && !right.id}
          onClick={() => put({ left: right.id, right: left.id })}
        >
          {t.swap}
        </Button>
      }
      same={{
        command: ['trace', 'show', right.id || left.id, '-n', namespace],
        call: {
          method: 'gantry.v1.TraceService/GetTrace',
          message: { namespace, traceId: right.id || left.id },
        },
      }}
    >
      <div className="g-compare-sides">
        <SidePanel namespace={namespace} name="left" side={left} other={right} choose={(id) => put({ left: id })} />
        <SidePanel namespace={namespace} name="right" side={right} other={left} choose={(id) => put({ right: id })} />
      </div>
      {left.trace && right.trace && <Differences left={left.trace} right={right.trace} />}
    </Page>
  )
}

interface SideState {
  id: string
  query: UseQueryResult<GetTraceResponse>
  trace: Trace | undefined
}

function useSide(namespace: string, id: string): SideState {
  const query = useTrace(namespace, id)
  const trace = useMemo(() => (query.data ? buildTrace(query.data.spans) : undefined), [query.data])
  return { id, query, trace }
}

function SidePanel({
  namespace,
  name,
  side,
  other,
  choose,
}: {
  namespace: string
  name: SideName
  side: SideState
  other: SideState
  choose: (id: string) => void
}) {
  const t = useMessages(texts)
  return (
    <Panel
      title={t.side[name]}
      extra={
        side.id && (
          <Button size="small" onClick={() => choose('')}>
            {t.change}
          </Button>
        )
      }
    >
      {side.id ? (
        <Answer query={side.query} count={2}>
          {(answer) => <Summary namespace={namespace} side={side} answer={answer} />}
        </Answer>
      ) : (
        <Picker namespace={namespace} side={name} other={other.trace} otherId={other.id} choose={choose} />
      )}
    </Panel>
  )
}

function Summary({ namespace, side, answer }: { namespace: string; side: SideState; answer: GetTraceResponse }) {
  const t = useMessages(texts)
  const { trace, id } = side
  if (!trace) return null
  const failed = trace.nodes.filter((node) => isFailed(node.span)).length
  return (
    <>
      <PageLink to={paths.trace(namespace, id)} className="g-break">
        <strong>{trace.root?.span.service}</strong> {trace.root?.span.name} <code>{shortId(id)}</code>
      </PageLink>
      {(answer.partial.length > 0 || trace.root?.orphan) && <StateTag state="pending">{t.lacking}</StateTag>}
      <dl className="g-compare-facts g-num">
        <div>
          <dt>{t.duration}</dt>
          <dd>{seconds(trace.duration / 1000)}</dd>
        </div>
        <div>
          <dt>{t.start}</dt>
          <dd>
            <Time at={new Date(trace.epoch)} milliseconds />
          </dd>
        </div>
        <div>
          <dt>{t.spans}</dt>
          <dd>{count(trace.nodes.length)}</dd>
        </div>
        <div>
          <dt>{t.failed}</dt>
          <dd className={failed > 0 ? 'g-danger' : undefined}>{count(failed)}</dd>
        </div>
      </dl>
    </>
  )
}
