import { App, Button, Input, Modal } from 'antd'
import { useState } from 'react'
import type { Document, HistoryResponse, ReleaseResponse } from '@/api/gen/gantry/v1/release_pb'
import { releases } from '@/api/clients/releases'
import { explain } from '@/app/errors'
import { useMessages } from '@/app/i18n'
import { ByCommand } from '@/ui/ByCommand'
import type { Same } from '@/ui/commands'
import { Failure } from '@/ui/Failure'
import { useUndo } from '@/ui/Undo'
import { progressOf, rollbackTarget } from './history'
import { texts } from './messages'
import { useApplied } from './queries'
import { cohortWords, nameOf, words, type Reference } from './reference'
import { VersionDiff } from './VersionDiff'

export type Act =
  | { verb: 'release'; version: bigint }
  | { verb: 'rollback'; version?: bigint }
  | { verb: 'promote' }
  | { verb: 'abort' }
  | { verb: 'delete' }

interface Plan {
  /** Who gets another version. */
  from: bigint
  to: bigint
  call: (message: string, expectedRevision: bigint) => Promise<ReleaseResponse>
  /** The same by the command line, and what the API is told beside the document. */
  flags: string[]
  method: string
  more?: object
  /** What does the opposite, if the document is still as the act left it; undefined where nothing does. */
  opposite?: (expectedRevision: bigint | undefined) => Promise<unknown>
}

function plan(ref: Reference, head: Document, history: HistoryResponse, act: Act): Plan {
  const released = head.releasedVersion
  const staged = head.rollout?.version ?? 0n
  const back = (version: bigint) => (expectedRevision: bigint | undefined) =>
    releases.rollback({ ref, version, expectedRevision })
  switch (act.verb) {
    case 'release':
      return {
        from: released,
        to: act.version,
        call: (message, expectedRevision) => releases.release({ ref, version: act.version, message, expectedRevision }),
        flags: ['--version', String(act.version)],
        method: 'Release',
        more: { version: String(act.version) },
        opposite: released > 0n ? back(released) : undefined,
      }
    case 'promote':
      return {
        from: released,
        to: staged,
        call: (message, expectedRevision) => releases.promote({ ref, message, expectedRevision }),
        flags: [],
        method: 'Promote',
        opposite: released > 0n ? back(released) : undefined,
      }
    case 'abort':
      return {
        from: staged,
        to: released,
        call: (message, expectedRevision) => releases.abort({ ref, message, expectedRevision }),
        flags: [],
        method: 'Abort',
        opposite: (expectedRevision) =>
          releases.release({ ref, version: staged, cohort: head.rollout?.cohort, expectedRevision }),
      }
    case 'rollback': {
      const to = act.version ?? rollbackTarget(history.entries, history.versions, released) ?? 0n
      return {
        from: released,
        to,
        call: (message, expectedRevision) => releases.rollback({ ref, version: to, message, expectedRevision }),
        flags: [...(to > 0n ? ['--version', String(to)] : []), '--yes'],
        method: 'Rollback',
        more: to > 0n ? { version: String(to) } : {},
        opposite: (expectedRevision) =>
          released > 0n
            ? releases.release({ ref, version: released, expectedRevision })
            : releases.delete({ ref, expectedRevision }),
      }
    }
    case 'delete':
      return {
        from: released,
        to: 0n,
        call: (message, expectedRevision) => releases.delete({ ref, message, expectedRevision }),
        flags: ['--yes'],
        method: 'Delete',
        opposite: released > 0n ? back(released) : undefined,
      }
  }
}

/** Asks before what is in force is changed: what will happen, to how many, and the difference that it makes. */
export function ActDialog({
  reference: ref,
  history,
  act,
  close,
}: {
  reference: Reference
  history: HistoryResponse
  act: Act
  close: () => void
}) {
  const all = useMessages(texts)
  const t = all.act
  const { message: toast } = App.useApp()
  const undo = useUndo()
  // What was seen when the question was asked is what may be changed: who came between is told of, not overwritten.
  const [seen, setSeen] = useState(history)
  const [message, setMessage] = useState('')
  const [typed, setTyped] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const head = seen.document!
  const planned = plan(ref, head, seen, act)
  const applied = useApplied(ref)
  const followers = progressOf(applied.data?.reports ?? []).total
  const inStage = progressOf(applied.data?.reports ?? [], head.rollout?.version).total
  const stale = history.document !== undefined && history.document.revision !== head.revision
  const same: Same = {
    command: words(act.verb, ref, ...planned.flags, ...(message ? ['--message', message] : [])),
    call: {
      method: `gantry.v1.ReleaseService/${planned.method}`,
      message: { ref, ...planned.more, ...(message ? { message } : {}) },
    },
  }
  const versions = { from: String(planned.from), to: String(planned.to), cohort: cohortWords(head.rollout?.cohort) }
  const run = async () => {
    setBusy(true)
    setError(undefined)
    try {
      const answer = await planned.call(message, head.revision)
      close()
      const done = t.done[act.verb](nameOf(ref), versions.to)
      const opposite = planned.opposite
      if (opposite) undo(done, async () => void (await opposite(answer.document?.revision)))
      else void toast.success(done)
    } catch (failed) {
      setError(failed)
      setBusy(false)
    }
  }
  const lookAgain = () => {
    setSeen(history)
    setError(undefined)
  }
  return (
    <Modal
      open
      width={880}
      title={t.title[act.verb](ref.name)}
      onCancel={close}
      okText={t.button[act.verb](versions.to)}
      cancelText={t.cancel}
      onOk={() => void run()}
      confirmLoading={busy}
      okButtonProps={{
        danger: act.verb === 'delete',
        disabled: stale || (act.verb === 'delete' && typed !== ref.name),
      }}
    >
      <div className="g-document-act">
        <p className="g-break">
          {t.what[act.verb](versions)} {applied.data && t.who(act.verb === 'abort' ? inStage : followers)}
          {act.verb === 'rollback' && head.rollout && ` ${t.endsRollout(String(head.rollout.version))}`}
        </p>
        {act.verb === 'delete' ? (
          <p className="g-secondary">{t.deleteUndo}</p>
        ) : (
          <VersionDiff reference={ref} from={planned.from} to={planned.to} sensitive={head.sensitive} />
        )}
        {act.verb === 'delete' && (
          <label>
            {t.typed(ref.name)}
            <Input value={typed} autoComplete="off" onChange={(event) => setTyped(event.target.value)} />
          </label>
        )}
        <label>
          {t.message}
          <Input
            value={message}
            maxLength={1000}
            placeholder={t.messageHint}
            onChange={(event) => setMessage(event.target.value)}
            onPressEnter={() => void (act.verb !== 'delete' && !stale && !busy && run())}
          />
        </label>
        {(stale || (error !== undefined && explain(error).reason === 'document.version_conflict')) && (
          <div role="alert" className="g-document-conflict">
            <strong>{t.moved(history.entries[0]?.author ?? '')}</strong>
            {stale && (
              <Button size="small" onClick={lookAgain}>
                {t.lookAgain}
              </Button>
            )}
          </div>
        )}
        {error !== undefined && <Failure error={error} compact />}
        <ByCommand same={same} />
      </div>
    </Modal>
  )
}
