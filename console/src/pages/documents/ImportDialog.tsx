import { FolderOpenOutlined, UploadOutlined } from '@ant-design/icons'
import { Alert, Button, Checkbox, Input, Modal, Radio } from 'antd'
import { useEffect, useRef, useState, type ChangeEvent } from 'react'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { explain } from '@/app/errors'
import { useMessages } from '@/app/i18n'
import { useSession } from '@/app/session'
import { ByCommand } from '@/ui/ByCommand'
import { StateTag } from '@/ui/StateTag'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts as documentTexts } from '../document/messages'
import { problemsOf } from '../document/problems'
import { commandOf, inOrder, judge, publish, readFiles, type Item } from './importing'
import type { ManifestError } from './manifest'
import { texts } from './messages'

/** Reads manifests, says what each would change, and publishes them: all are validated before the first is stored. */
export default function ImportDialog({ namespace, close }: { namespace: string; close: () => void }) {
  const t = useMessages(texts).importDialog
  const act = useMessages(documentTexts).act
  const session = useSession()
  const mayRelease = session.can(Role.RELEASER, namespace)
  const [items, setItems] = useState<readonly Item[]>([])
  const [errors, setErrors] = useState<readonly ManifestError[]>([])
  const [release, setRelease] = useState(false)
  const [keepGoing, setKeepGoing] = useState(false)
  const [message, setMessage] = useState('')
  const [stage, setStage] = useState<'choose' | 'judging' | 'ready' | 'publishing' | 'done'>('choose')
  const files = useRef<HTMLInputElement>(null)
  const folder = useRef<HTMLInputElement>(null)
  const ended = useRef(new AbortController())
  useEffect(() => {
    const controller = (ended.current = new AbortController())
    return () => controller.abort()
  }, [])
  useEffect(() => {
    folder.current?.setAttribute('webkitdirectory', '')
  }, [])
  const take = async (list: FileList | null) => {
    if (!list || list.length === 0) return
    const all = [...list]
    setStage('judging')
    const read = await readFiles(all, namespace)
    setErrors(read.errors)
    setItems(read.items)
    const judged = await judge(read.items, ended.current.signal, setItems)
    if (ended.current.signal.aborted) return
    setItems(judged)
    setStage('ready')
  }
  const chosen = (event: ChangeEvent<HTMLInputElement>) => {
    void take(event.target.files)
    // So that the same file can be chosen again when it was mended.
    event.target.value = ''
  }
  const wrong = errors.length + items.filter((item) => item.verdict === 'invalid').length
  const todo = items.filter(
    (item) => item.verdict === 'new' || item.verdict === 'changed' || (release && item.verdict === 'unreleased'),
  )
  const failed = items.filter((item) => item.verdict === 'failed').length
  const run = async () => {
    setStage('publishing')
    await publish(inOrder(items), { message, release, keepGoing }, ended.current.signal, setItems)
    if (!ended.current.signal.aborted) setStage('done')
  }
  const command = commandOf(items, namespace, { release, message, keepGoing, broken: errors.length > 0 })
  const columns: Column<Item>[] = [
    {
      key: 'name',
      title: t.document,
      width: '2fr',
      render: ({ manifest }) => `${manifest.ref.kind}/${manifest.ref.name}`,
    },
    {
      key: 'verdict',
      title: t.verdict,
      width: 152,
      render: ({ verdict }) => (
        <StateTag
          state={
            (
              {
                judging: 'starting',
                new: 'pending',
                changed: 'pending',
                unreleased: 'pending',
                unchanged: 'inactive',
                invalid: 'failed',
                done: 'success',
                failed: 'failed',
              } as const
            )[verdict]
          }
        >
          {t.verdicts[verdict]}
        </StateTag>
      ),
    },
    {
      key: 'why',
      title: t.why,
      width: '3fr',
      render: ({ manifest, error }) => {
        if (error === undefined) return <span className="g-secondary">{`${manifest.file}:${manifest.line}`}</span>
        const text = problemsOf(explain(error))
          .map((one) => [one.line && t.line(one.line), one.field, one.message].filter(Boolean).join(': '))
          .join('\n')
        return (
          <span className="g-danger" title={text}>
            {text}
          </span>
        )
      },
    },
  ]
  const pick = (
    <div className="g-toolbar">
      <Button icon={<UploadOutlined />} onClick={() => files.current?.click()}>
        {t.files}
      </Button>
      <Button icon={<FolderOpenOutlined />} onClick={() => folder.current?.click()}>
        {t.folder}
      </Button>
      <input ref={files} type="file" multiple accept=".yaml,.yml,.json" hidden aria-label={t.files} onChange={chosen} />
      <input ref={folder} type="file" hidden aria-label={t.folder} onChange={chosen} />
    </div>
  )
  return (
    <Modal
      open
      width={880}
      title={t.title(namespace)}
      okText={stage === 'done' ? t.close : release ? t.runAndRelease(todo.length) : t.run(todo.length)}
      cancelText={t.cancel}
      confirmLoading={stage === 'publishing' || stage === 'judging'}
      okButtonProps={{
        disabled: stage !== 'done' && (stage !== 'ready' || (wrong > 0 && !keepGoing) || todo.length === 0),
      }}
      onOk={() => (stage === 'done' ? close() : void run())}
      onCancel={close}
      // What is being stored is not left half way without a word.
      closable={stage !== 'publishing'}
      keyboard={stage !== 'publishing'}
      mask={{ closable: stage === 'choose' || stage === 'done' }}
      cancelButtonProps={{ disabled: stage === 'publishing', hidden: stage === 'done' }}
    >
      <div className="g-documents-form">
        <p>{t.text}</p>
        {pick}
        {errors.map((error) => (
          <Alert
            key={`${error.file}:${error.line}`}
            type="error"
            showIcon
            title={`${error.file}:${error.line}`}
            description={t.refusals[error.why](error.what)}
          />
        ))}
        {stage === 'ready' && items.length + errors.length === 0 && <Alert type="warning" showIcon title={t.nothing} />}
        {stage === 'done' && (
          <Alert
            type={failed > 0 ? 'error' : keepGoing && wrong > 0 ? 'warning' : 'success'}
            showIcon
            role="status"
            title={t.finished(
              items.filter((item) => item.verdict === 'done').length,
              failed,
              todo.length,
              keepGoing ? wrong : 0,
            )}
          />
        )}
        {items.length > 0 && (
          <>
            <VirtualTable
              label={t.documents}
              rows={items}
              columns={columns}
              rowKey={({ manifest }) => `${manifest.file}:${manifest.line}:${manifest.ref.kind}/${manifest.ref.name}`}
              height={320}
            />
            {stage === 'ready' && wrong > 0 && (
              <Alert type="warning" showIcon title={keepGoing ? t.without(wrong) : t.allOrNone(wrong)} />
            )}
            <Checkbox
              checked={keepGoing}
              disabled={stage !== 'ready'}
              onChange={(event) => setKeepGoing(event.target.checked)}
            >
              {t.keepGoing} <span className="g-secondary">{t.keepGoingText}</span>
            </Checkbox>
            <Radio.Group
              aria-label={t.then}
              value={release ? 'release' : 'draft'}
              onChange={(event) => setRelease(event.target.value === 'release')}
              options={[
                { value: 'draft', label: t.asDraft },
                { value: 'release', label: mayRelease ? t.andRelease : t.andReleaseNeeds, disabled: !mayRelease },
              ]}
            />
            <label>
              {act.message}
              <Input
                value={message}
                maxLength={1000}
                placeholder={act.messageHint}
                onChange={(event) => setMessage(event.target.value)}
              />
            </label>
          </>
        )}
        {items.length > 0 && command && <ByCommand same={{ command }} />}
      </div>
    </Modal>
  )
}
