import { CopyOutlined, ReloadOutlined, SwapOutlined } from '@ant-design/icons'
import { Alert, Button } from 'antd'
import { useMemo, type ReactNode } from 'react'
import { useNavigate, useParams } from 'react-router'
import type { GetTraceResponse } from '@/api/gen/gantry/v1/trace_pb'
import { useMessages } from '@/app/i18n'
import { traceId } from '@/app/matching'
import { useNamespace } from '@/app/namespace'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { useCopy } from '@/ui/useCopy'
import { count, seconds, shortId } from '@/ui/format'
import { Page } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Time } from '@/ui/Time'
import { texts as tracesTexts } from '../traces/messages'
import { texts } from './messages'
import { buildTrace, isFailed, type Trace as TraceTree } from './model'
import { useTrace } from './queries'
import { TraceView } from './TraceView'
import './trace.css'

/** One trace: what called what, how long it took, what was waited for, and what was changed before. */
export default function Trace() {
  const t = useMessages(texts)
  const list = useMessages(tracesTexts).title
  const namespace = useNamespace()
  const navigate = useNavigate()
  const named = useParams()['trace'] ?? ''
  const id = traceId(named) ?? named
  const query = useTrace(namespace, id)
  const outline = useMemo(() => buildTrace(query.data?.spans ?? []), [query.data])
  const root = outline.root?.span
  return (
    <Page
      title={root ? `${root.service} ${root.name}` : t.trace}
      tag={root && <StateTag state={outcomeOf(outline)} />}
      crumbs={[{ title: list, to: paths.traces(namespace) }, { title: shortId(named) }]}
      actions={
        <>
          <Button
            icon={<SwapOutlined />}
            disabled={!query.data}
            onClick={() => void navigate(paths.compare(namespace, id))}
          >
            {t.compare}
          </Button>
          <Button
            icon={<ReloadOutlined />}
            aria-label={t.refresh}
            title={t.refresh}
            loading={query.isFetching}
            onClick={() => void query.refetch()}
          />
        </>
      }
      same={{
        command: ['trace', 'show', id, '-n', namespace],
        call: { method: 'gantry.v1.TraceService/GetTrace', message: { namespace, traceId: id } },
      }}
    >
      <Answer query={query} count={10}>
        {(answer) => (
          <>
            <Lacking answer={answer} trace={outline} />
            <Facts id={id} trace={outline} />
            <TraceView key={id} namespace={namespace} spans={answer.spans} outline={outline} id={id} />
          </>
        )}
      </Answer>
    </Page>
  )
}

function outcomeOf({ root, nodes }: TraceTree) {
  if (root && isFailed(root.span)) return 'failed'
  if (root?.span.outcome === 'refused' || nodes.some(({ span }) => span.outcome === 'refused')) return 'refused'
  return 'success'
}

function Lacking({ answer, trace }: { answer: GetTraceResponse; trace: TraceTree }) {
  const t = useMessages(texts)
  const orphans = trace.nodes.filter((node) => node.orphan).length
  if (answer.partial.length === 0 && orphans === 0) return null
  return (
    <Alert
      type="warning"
      showIcon
      role="status"
      title={t.lacking}
      description={
        <>
          {answer.partial.length > 0 && <div className="g-break">{answer.partial.join(' · ')}</div>}
          {orphans > 0 && <div>{t.orphans(orphans)}</div>}
          {trace.root?.orphan && <div>{t.rootMissing}</div>}
        </>
      }
    />
  )
}

function Facts({ id, trace }: { id: string; trace: TraceTree }) {
  const t = useMessages(texts)
  const copy = useCopy()
  const failed = trace.nodes.filter((node) => isFailed(node.span)).length
  const depth = trace.nodes.reduce((most, node) => Math.max(most, node.depth + 1), 0)
  return (
    <dl className="g-trace-summary">
      <Fact name={t.duration}>{seconds(trace.duration / 1000)}</Fact>
      <Fact name={t.start}>
        <Time at={new Date(trace.epoch)} milliseconds />
      </Fact>
      <Fact name={t.spans}>{count(trace.nodes.length)}</Fact>
      <Fact name={t.services}>{count(trace.services.length)}</Fact>
      <Fact name={t.failed}>
        <span className={failed > 0 ? 'g-danger' : undefined}>{count(failed)}</span>
      </Fact>
      <Fact name={t.depth}>{count(depth)}</Fact>
      <Fact name={t.id}>
        <code className="g-break">{id}</code>{' '}
        <Button type="text" size="small" icon={<CopyOutlined />} aria-label={t.copyId} onClick={() => void copy(id)} />
      </Fact>
    </dl>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className="g-num">{children}</dd>
    </div>
  )
}
