import { App, Input, Modal, Radio } from 'antd'
import { useState } from 'react'
import type { Document } from '@/api/gen/gantry/v1/release_pb'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { releases } from '@/api/clients/releases'
import { explain } from '@/app/errors'
import { useMessages } from '@/app/i18n'
import { useSession } from '@/app/session'
import { Diff } from '@/ui/Diff'
import { Failure } from '@/ui/Failure'
import type { Draft } from './EditPanel'
import { texts } from './messages'
import { bytesOf, nameOf, type Reference } from './reference'

/** Stores what was written as a version; released only when that is asked for. */
export function PublishDialog({
  reference: ref,
  draft,
  head,
  close,
  published,
}: {
  reference: Reference
  draft: Draft
  head: Document | undefined
  close: () => void
  published: (version: bigint, released: boolean) => void
}) {
  const all = useMessages(texts)
  const t = all.publish
  const { message: toast } = App.useApp()
  const session = useSession()
  const mayRelease = session.can(Role.RELEASER, ref.namespace)
  const [message, setMessage] = useState('')
  const [release, setRelease] = useState(false)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const conflict = error !== undefined && explain(error).reason === 'document.version_conflict'
  const whyNot = !mayRelease ? all.release.needsReleaser : head?.rollout ? t.underWay : undefined
  const run = async () => {
    setBusy(true)
    setError(undefined)
    try {
      const answer = await releases.publish({
        ref,
        format: draft.format,
        content: bytesOf(draft.text),
        sensitive: draft.sensitive,
        message,
        expectedVersion: draft.base,
        release,
      })
      void toast.success(answer.unchanged ? t.unchanged : t.done(nameOf(ref), String(answer.version), release))
      close()
      published(answer.version, release)
    } catch (failed) {
      setError(failed)
      setBusy(false)
    }
  }
  return (
    <Modal
      open
      width={880}
      title={t.title(ref.name)}
      okText={release ? t.publishAndRelease : t.publish}
      cancelText={all.act.cancel}
      confirmLoading={busy}
      okButtonProps={{ disabled: conflict }}
      onOk={() => void run()}
      onCancel={close}
    >
      <div className="g-document-act">
        <Diff
          before={draft.baseText}
          after={draft.text}
          format={draft.format}
          beforeName={draft.base > 0n ? all.version(String(draft.base)) : all.nothing}
          afterName={all.yours}
        />
        <label>
          {all.act.message}
          <Input
            value={message}
            maxLength={1000}
            placeholder={all.act.messageHint}
            onChange={(event) => setMessage(event.target.value)}
          />
        </label>
        <Radio.Group
          className="g-document-choices"
          aria-label={t.then}
          value={release ? 'all' : 'draft'}
          onChange={(event) => setRelease(event.target.value === 'all')}
        >
          <Radio value="draft">
            {t.asDraft} <span className="g-secondary">{t.asDraftText}</span>
          </Radio>
          <Radio value="all" disabled={whyNot !== undefined}>
            {t.toAll} <span className="g-secondary">{whyNot ?? t.toAllText}</span>
          </Radio>
        </Radio.Group>
        {error !== undefined && <Failure error={error} />}
        {conflict && <p>{t.conflict}</p>}
      </div>
    </Modal>
  )
}
