import { Button, Tooltip } from 'antd'
import { useMutation, useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import type { ReceiverFailure } from '@/api/gen/gantry/v1/alert_pb'
import type { Document } from '@/api/gen/gantry/v1/release_pb'
import { alerts } from '@/api/clients/alerts'
import { releases } from '@/api/clients/releases'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { useSession } from '@/app/session'
import { Answer } from '@/ui/Answer'
import { useConfirm } from '@/ui/Confirm'
import { Empty } from '@/ui/Empty'
import { Failure } from '@/ui/Failure'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { listOf, readFields, textOf } from './fields'
import { texts } from './messages'
import { useReleased } from './queries'

/** A test goes over all channels, each of which may take a quarter of a minute. */
const testTimeoutMs = 120_000

export function ReceiversTab({ namespace, failures }: { namespace: string; failures: readonly ReceiverFailure[] }) {
  const t = useMessages(texts).receivers
  // Their content is secret and not asked for.
  const list = useQuery({
    queryKey: key('documents', namespace, 'list', 'Receiver'),
    queryFn: ({ signal }) => releases.list({ namespace, kind: 'Receiver', pageSize: 1000 }, { signal }),
  })
  return (
    <>
      <Panel title={t.list} className="g-panel-flush">
        <Answer query={list} count={3}>
          {({ documents }) =>
            documents.length === 0 ? (
              <Empty title={t.none}>{t.noneText}</Empty>
            ) : (
              <ul className="g-alerts-list">
                {documents.map((document) => (
                  <ReceiverRow
                    key={document.ref?.name}
                    namespace={namespace}
                    document={document}
                    failures={failures.filter((failure) => failure.receiver === document.ref?.name)}
                  />
                ))}
              </ul>
            )
          }
        </Answer>
      </Panel>
      <Routes namespace={namespace} />
    </>
  )
}

function ReceiverRow({
  namespace,
  document,
  failures,
}: {
  namespace: string
  document: Document
  failures: readonly ReceiverFailure[]
}) {
  const all = useMessages(texts)
  const t = all.receivers
  const name = document.ref?.name ?? ''
  const may = useSession().can(Role.RELEASER, namespace)
  const confirm = useConfirm()
  const test = useMutation({
    mutationFn: () => alerts.testReceiver({ namespace, receiver: name }, { timeoutMs: testTimeoutMs }),
  })
  const ask = () =>
    confirm({
      title: t.testTitle(name),
      what: t.testWhat,
      undoable: false,
      action: t.testAction,
      run: async () => void (await test.mutateAsync()),
    })
  return (
    <li>
      {failures.length > 0 ? <StateTag state="failed" /> : <StateTag state="success">{t.works}</StateTag>}
      <div className="g-alerts-what">
        <div className="g-break">
          <PageLink to={paths.document(namespace, 'Receiver', name)}>
            <strong>{name}</strong>
          </PageLink>
        </div>
        {failures.map((failure) => (
          <div key={failure.channel + failure.group} className="g-break">
            <span className="g-danger">{failure.channel}: </span>
            {failure.error}{' '}
            <span className="g-secondary">
              <Ago at={dateOf(failure.at)} />
            </span>
          </div>
        ))}
        {(test.data || test.error) && (
          <div role="status" aria-label={t.tested(name)}>
            {test.error && <Failure error={test.error} compact />}
            {test.data?.tests.length === 0 && t.noChannels}
            {test.data?.tests.map(({ channel, error }) => (
              <div key={channel} className="g-break">
                <StateTag state={error ? 'failed' : 'success'}>
                  {channel}: {error ? '' : t.delivered}
                </StateTag>{' '}
                {error}
              </div>
            ))}
          </div>
        )}
      </div>
      <span className="g-alerts-when g-secondary">
        {t.changed} <Ago at={dateOf(document.updatedAt)} />
      </span>
      <Tooltip title={may ? undefined : all.mayNotTest}>
        <Button size="small" disabled={!may} loading={test.isPending} aria-label={t.testThis(name)} onClick={ask}>
          {t.test}
        </Button>
      </Tooltip>
    </li>
  )
}

function Routes({ namespace }: { namespace: string }) {
  const t = useMessages(texts).receivers
  const list = useReleased(namespace, 'NotificationRoute')
  const routes = useMemo(
    () =>
      (list.data ?? [])
        .map(({ document, version }) => {
          const content = new TextDecoder().decode(version?.content)
          return { name: document?.ref?.name ?? '', content, fields: readFields(content, version?.format ?? '') }
        })
        .sort(
          (a, b) =>
            Number(textOf(a.fields?.['order'])) - Number(textOf(b.fields?.['order'])) || a.name.localeCompare(b.name),
        ),
    [list.data],
  )
  return (
    <Panel title={t.routes} className="g-panel-flush" extra={<span className="g-secondary">{t.routesText}</span>}>
      <Answer query={list} count={3}>
        {() =>
          routes.length === 0 ? (
            <Empty title={t.noRoutes}>{t.noRoutesText}</Empty>
          ) : (
            <ol className="g-alerts-list g-alerts-routes">
              {routes.map(({ name, content, fields }) => (
                <li key={name}>
                  <PageLink to={paths.document(namespace, 'NotificationRoute', name)}>
                    <strong>{name}</strong>
                  </PageLink>
                  {fields ? <RouteText fields={fields} /> : <pre className="g-pre">{content}</pre>}
                </li>
              ))}
            </ol>
          )
        }
      </Answer>
    </Panel>
  )
}

function RouteText({ fields }: { fields: NonNullable<ReturnType<typeof readFields>> }) {
  const t = useMessages(texts).receivers
  const matchers = listOf(fields['matchers'])
  return (
    <div className="g-alerts-tags">
      {matchers.length === 0 && <span>{t.all}</span>}
      {matchers.map((matcher) => (
        <code key={matcher} className="g-alerts-tag">
          {matcher}
        </code>
      ))}
      <span aria-hidden>→</span>
      <span>{textOf(fields['receivers'])}</span>
      {fields['groupBy'] && (
        <span className="g-secondary">
          {t.groups} {textOf(fields['groupBy'])}
        </span>
      )}
      {textOf(fields['continue']) === 'true' && <span className="g-secondary">{t.goesOn}</span>}
    </div>
  )
}
