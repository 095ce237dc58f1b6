import { Button, Input, Radio, Tooltip } from 'antd'
import { useDeferredValue, useState } from 'react'
import { useSearchParams } from 'react-router'
import type { HistoryResponse } from '@/api/gen/gantry/v1/release_pb'
import { releases } from '@/api/clients/releases'
import { useMessages } from '@/app/i18n'
import { ByCommand } from '@/ui/ByCommand'
import type { Same } from '@/ui/commands'
import { Failure } from '@/ui/Failure'
import { Panel } from '@/ui/Page'
import { useUndo } from '@/ui/Undo'
import type { Act } from './ActDialog'
import { AppliedTable } from './AppliedTable'
import { CohortForm } from './CohortForm'
import { VersionSelect } from './DiffTab'
import { texts } from './messages'
import { PreviewPanel } from './PreviewPanel'
import { useApplied, usePreview } from './queries'
import {
  cohortFlags,
  cohortJson,
  cohortOf,
  cohortText,
  cohortWords,
  isEmptyCohort,
  nameOf,
  words,
  type CohortText,
  type Reference,
} from './reference'
import { VersionDiff } from './VersionDiff'

/** What the address says is to be released, and to whom. */
export function releaseForm(parameters: URLSearchParams, history: HistoryResponse) {
  const head = history.document!
  const text = parameters.get('version')
  const version = head.rollout?.version ?? (text && /^\d{1,18}$/.test(text) ? BigInt(text) : head.latestVersion)
  const set: CohortText = {
    labels: parameters.getAll('label'),
    addresses: parameters.getAll('address'),
    percent: parameters.get('percent') ?? '',
  }
  const underWay = cohortText(head.rollout?.cohort)
  const cohort = isEmptyCohort(set) ? (head.rollout ? underWay : { ...set, percent: '10' }) : set
  const toAll =
    parameters.get('for') === 'all' || (parameters.get('for') === null && head.releasedVersion === 0n && !head.rollout)
  return { version, cohort, toAll }
}

/** What begins a stage, or moves it, by the command line. */
const sameStage = (ref: Reference, version: bigint, cohort: CohortText, message: string): Same => ({
  command: words(
    'release',
    ref,
    ...['--version', String(version), ...cohortFlags(cohort)],
    ...(message ? ['--message', message] : []),
  ),
  call: {
    method: 'gantry.v1.ReleaseService/Release',
    message: { ref, version: String(version), cohort: cohortJson(cohort), ...(message ? { message } : {}) },
  },
})

/** Puts a version in force: for all, or stage by stage; who will get it is seen before, and who has it after. */
export function ReleaseTab({
  reference: ref,
  history,
  mayRelease,
  ask,
}: {
  reference: Reference
  history: HistoryResponse
  mayRelease: boolean
  ask: (act: Act) => void
}) {
  const all = useMessages(texts)
  const t = all.release
  const undo = useUndo()
  const [parameters, setParameters] = useSearchParams()
  const head = history.document!
  const { version, cohort, toAll } = releaseForm(parameters, history)
  const [message, setMessage] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const applied = useApplied(ref)
  const asked = useDeferredValue(cohort)
  const preview = usePreview(ref, asked, !toAll)
  const set = (change: Record<string, string | string[]>) =>
    setParameters(
      (before) => {
        for (const [name, value] of Object.entries(change)) {
          before.delete(name)
          for (const one of [value].flat()) if (one) before.append(name, one)
        }
        return before
      },
      { replace: true },
    )
  const rollout = head.rollout
  const chosen = cohortOf(cohort)
  const already = version === head.releasedVersion && !rollout
  const why = !mayRelease
    ? t.needsReleaser
    : already
      ? t.already(String(version))
      : !chosen && !toAll
        ? t.incomplete
        : undefined
  const stage = async () => {
    setBusy(true)
    setError(undefined)
    try {
      const answer = await releases.release({ ref, version, cohort: chosen, message, expectedRevision: head.revision })
      const expectedRevision = answer.document?.revision
      const done = rollout
        ? t.moved(nameOf(ref), cohortWords(chosen))
        : t.started(nameOf(ref), String(version), cohortWords(chosen))
      if (rollout)
        undo(
          done,
          async () => void (await releases.release({ ref, version, cohort: rollout.cohort, expectedRevision })),
        )
      else undo(done, async () => void (await releases.abort({ ref, expectedRevision })))
      setMessage('')
    } catch (failed) {
      setError(failed)
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <div className="g-document-release">
        <Panel title={rollout ? t.next : t.title}>
          <div className="g-document-form">
            {!rollout && (
              <div className="g-toolbar">
                <VersionSelect
                  label={t.version}
                  versions={history.versions}
                  value={version}
                  released={head.releasedVersion}
                  staged={undefined}
                  set={(chosen) => set({ version: String(chosen) })}
                />
              </div>
            )}
            {!rollout && (
              <Radio.Group
                aria-label={t.whom}
                value={toAll ? 'all' : 'stage'}
                onChange={(event) => set({ for: String(event.target.value) })}
                options={[
                  { value: 'stage', label: t.toStage },
                  { value: 'all', label: t.toAll },
                ]}
              />
            )}
            {(!toAll || rollout) && (
              <CohortForm
                cohort={cohort}
                set={(next) =>
                  set({ for: 'stage', label: next.labels, address: next.addresses, percent: next.percent })
                }
              />
            )}
            {(!toAll || rollout) && (
              <label>
                {all.act.message}
                <Input
                  value={message}
                  maxLength={1000}
                  placeholder={all.act.messageHint}
                  onChange={(event) => setMessage(event.target.value)}
                />
              </label>
            )}
            {error !== undefined && <Failure error={error} />}
            <div className="g-toolbar">
              <Tooltip title={why}>
                {toAll && !rollout ? (
                  <Button type="primary" disabled={why !== undefined} onClick={() => ask({ verb: 'release', version })}>
                    {t.releaseAll}
                  </Button>
                ) : (
                  <Button type="primary" loading={busy} disabled={why !== undefined} onClick={() => void stage()}>
                    {rollout ? t.move : t.start(cohortWords(chosen))}
                  </Button>
                )}
              </Tooltip>
              {why && <span className="g-secondary">{why}</span>}
            </div>
            {(!toAll || rollout) && chosen && why === undefined && (
              <ByCommand same={sameStage(ref, version, cohort, message)} />
            )}
          </div>
        </Panel>
        {(!toAll || rollout) && (
          <Panel title={t.preview} className="g-panel-flush">
            <PreviewPanel preview={preview} applied={applied} />
          </Panel>
        )}
        {toAll && !rollout && !already && (
          <Panel title={t.change(String(head.releasedVersion), String(version))}>
            <VersionDiff reference={ref} from={head.releasedVersion} to={version} sensitive={head.sensitive} />
          </Panel>
        )}
      </div>
      <AppliedTable applied={applied} />
    </>
  )
}
