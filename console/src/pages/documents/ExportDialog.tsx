import { Alert, Checkbox, Modal, Progress, Select, Tooltip } from 'antd'
import { useEffect, useRef, useState } from 'react'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { releases } from '@/api/clients/releases'
import { useMessages } from '@/app/i18n'
import { useSession } from '@/app/session'
import { ByCommand } from '@/ui/ByCommand'
import { Failure } from '@/ui/Failure'
import { bytesOf } from '../document/reference'
import { download } from './download'
import { formatManifest } from './manifest'
import { texts } from './messages'
import { treePath, zip, type Entry } from './zip'

/** Writes the released documents as the tree that `gantry export` writes, in a zip file. */
export default function ExportDialog({
  namespace,
  kinds,
  close,
}: {
  namespace: string
  kinds: readonly string[]
  close: () => void
}) {
  const t = useMessages(texts).exportDialog
  const session = useSession()
  const [kind, setKind] = useState('')
  const [sensitive, setSensitive] = useState(false)
  const [progress, setProgress] = useState<{ done: number; total: number }>()
  const [result, setResult] = useState<{ written: number; leftOut: number }>()
  const [error, setError] = useState<unknown>()
  const ended = useRef(new AbortController())
  useEffect(() => {
    const controller = (ended.current = new AbortController())
    return () => controller.abort()
  }, [])
  const busy = progress !== undefined && result === undefined && error === undefined
  const command = [
    'export',
    `${namespace}/`,
    '-n',
    namespace,
    ...(kind ? ['--kind', kind] : []),
    sensitive ? '--sensitive' : '',
  ]
  const run = async () => {
    setError(undefined)
    setResult(undefined)
    setProgress({ done: 0, total: 0 })
    try {
      const entries: Entry[] = []
      let leftOut = 0
      let done = 0
      for await (const { document, version, total } of releases.export(
        { namespace, kind, sensitive },
        { signal: ended.current.signal },
      )) {
        done++
        if (done % 50 === 0) setProgress({ done, total })
        const ref = document?.ref
        if (!ref || !version) continue
        if (version.withheld) {
          leftOut++
          continue
        }
        entries.push({
          path: treePath(ref.namespace, ref.kind, ref.name),
          content: bytesOf(formatManifest(ref, version)),
        })
      }
      if (entries.length > 0) download(`${namespace}.zip`, zip(entries, new Date()), 'application/zip')
      setResult({ written: entries.length, leftOut })
    } catch (failed) {
      if (!ended.current.signal.aborted) setError(failed)
    }
  }
  const mayReveal = session.can(Role.RELEASER, namespace)
  return (
    <Modal
      open
      title={t.title}
      okText={t.run}
      cancelText={t.close}
      confirmLoading={busy}
      onOk={() => void run()}
      onCancel={close}
    >
      <div className="g-documents-form">
        <p>{t.text}</p>
        <label>
          {t.kind}
          <Select
            aria-label={t.kind}
            value={kind}
            options={[{ value: '', label: t.all }, ...kinds.map((value) => ({ value, label: value }))]}
            onChange={setKind}
          />
        </label>
        <Tooltip title={mayReveal ? '' : t.needsReleaser}>
          <Checkbox checked={sensitive} disabled={!mayReveal} onChange={(event) => setSensitive(event.target.checked)}>
            {t.sensitive}
          </Checkbox>
        </Tooltip>
        {busy && progress.total > 0 && (
          <Progress percent={Math.round((100 * progress.done) / progress.total)} aria-label={t.title} />
        )}
        {result && (
          <Alert
            type={result.leftOut > 0 ? 'warning' : 'success'}
            showIcon
            title={t.done(result.written)}
            description={result.leftOut > 0 ? t.leftOut(result.leftOut) : undefined}
          />
        )}
        {error !== undefined && <Failure error={error} />}
        <ByCommand same={{ command }} />
      </div>
    </Modal>
  )
}
