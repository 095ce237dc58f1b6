import { Alert, Button, Tooltip } from 'antd'
import { CopyOutlined, EditOutlined } from '@ant-design/icons'
import { lazy, Suspense, useState } from 'react'
import { useSearchParams } from 'react-router'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import type { HistoryResponse } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import { useSession } from '@/app/session'
import { releases } from '@/api/clients/releases'
import { Answer } from '@/ui/Answer'
import { useCopy } from '@/ui/useCopy'
import { bytes, dateOf } from '@/ui/format'
import { Failure } from '@/ui/Failure'
import { Loading } from '@/ui/Loading'
import { Panel } from '@/ui/Page'
import { Time } from '@/ui/Time'
import { VersionSelect } from './DiffTab'
import type { Draft } from './EditPanel'
import { texts } from './messages'
import { useVersion } from './queries'
import { textOf, type Reference } from './reference'

const Editor = lazy(() => import('./Editor'))

/** The version that is looked at: what the address says, then what is released, then the latest. */
export function shownVersion(parameters: URLSearchParams, history: HistoryResponse): bigint {
  const text = parameters.get('version')
  if (text && /^\d{1,18}$/.test(text)) return BigInt(text)
  const head = history.document!
  return head.releasedVersion > 0n ? head.releasedVersion : head.latestVersion
}

/** What stands in a version. Read only until somebody says that they want to edit; a secret is not fetched before it is asked for. */
export function ContentTab({
  reference: ref,
  history,
  mayPublish,
  edit,
}: {
  reference: Reference
  history: HistoryResponse
  mayPublish: boolean
  edit: (draft: Draft) => void
}) {
  const all = useMessages(texts)
  const t = all.content
  const copy = useCopy()
  const [parameters, setParameters] = useSearchParams()
  const head = history.document!
  const version = shownVersion(parameters, history)
  const meta = history.versions.find((one) => one.version === version)
  const sensitive = meta?.sensitive ?? head.sensitive
  // Who may not see it is told so at once.
  const [revealed, setRevealed] = useState(!useSession().can(Role.RELEASER, ref.namespace))
  const query = useVersion(ref, version, !sensitive || revealed)
  const [starting, setStarting] = useState(false)
  const [refused, setRefused] = useState<unknown>()
  const found = query.data?.version?.version === version ? query.data.version : undefined
  const text = found && !found.withheld ? textOf(found.content) : undefined
  const whyNot = !mayPublish
    ? all.edit.needsDeveloper
    : found?.withheld
      ? all.secret.withheldText
      : found && !found.withheld && text === undefined
        ? all.diff.binary
        : undefined
  // Editing always begins from the newest version, so that nothing in between is lost.
  const begin = async () => {
    setStarting(true)
    setRefused(undefined)
    try {
      const { version: from } = await releases.get({ ref, version: head.latestVersion })
      const content = from && !from.withheld ? textOf(from.content) : undefined
      if (!from || content === undefined) {
        setRevealed(true)
        return
      }
      edit({
        base: from.version,
        baseText: content,
        text: content,
        format: from.format,
        sensitive: from.sensitive,
        generation: 0,
      })
    } catch (error) {
      setRefused(error)
    } finally {
      setStarting(false)
    }
  }
  return (
    <Panel
      title={all.version(String(version))}
      className="g-panel-flush"
      extra={
        <div className="g-toolbar">
          <VersionSelect
            label={t.version}
            versions={history.versions}
            value={version}
            released={head.releasedVersion}
            staged={head.rollout?.version}
            set={(chosen) =>
              setParameters(
                (before) => {
                  before.set('version', String(chosen))
                  return before
                },
                { replace: true },
              )
            }
          />
          <Button
            icon={<CopyOutlined />}
            disabled={text === undefined}
            onClick={() => text !== undefined && void copy(text)}
          >
            {t.copy}
          </Button>
          <Tooltip title={whyNot ?? (version !== head.latestVersion ? t.editsLatest(String(head.latestVersion)) : '')}>
            <Button
              type="primary"
              icon={<EditOutlined />}
              disabled={whyNot !== undefined}
              loading={starting}
              onClick={() => void begin()}
            >
              {t.edit}
            </Button>
          </Tooltip>
        </div>
      }
    >
      {refused !== undefined && <Failure error={refused} />}
      {meta && (
        <p className="g-document-meta g-secondary">
          {meta.author} · <Time at={dateOf(meta.createdAt)} /> · {meta.format} · {bytes(meta.size)}
          {meta.message && <> · {meta.message}</>}
        </p>
      )}
      {sensitive && !revealed ? (
        <Alert
          className="g-document-secret"
          type="info"
          showIcon
          title={all.secret.sealed}
          description={all.secret.sealedText}
          action={<Button onClick={() => setRevealed(true)}>{all.secret.show}</Button>}
        />
      ) : (
        <Answer query={query} shape="chart">
          {() =>
            !found ? (
              <Loading shape="chart" />
            ) : found.withheld ? (
              <Alert
                className="g-document-secret"
                type="warning"
                showIcon
                title={all.secret.withheld}
                description={all.secret.withheldText}
              />
            ) : text === undefined ? (
              <Alert className="g-document-secret" type="info" showIcon title={all.diff.binary} />
            ) : (
              <Suspense fallback={<Loading shape="chart" />}>
                <Editor
                  text={text}
                  generation={Number(version)}
                  format={found.format}
                  label={t.label(ref.name, String(version))}
                  readOnly
                />
              </Suspense>
            )
          }
        </Answer>
      )}
    </Panel>
  )
}
