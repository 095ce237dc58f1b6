import { Alert, Button, Checkbox, Select, Space, Tooltip } from 'antd'
import { lazy, Suspense, useState } from 'react'
import type { HistoryResponse, Version } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import { Diff } from '@/ui/Diff'
import { dateOf } from '@/ui/format'
import { Loading } from '@/ui/Loading'
import { Panel } from '@/ui/Page'
import { Ago } from '@/ui/Time'
import { newerThan } from './history'
import { texts } from './messages'
import type { Problem } from './problems'
import { Problems } from './Problems'
import { PublishDialog } from './PublishDialog'
import { useSchemas, useVersion } from './queries'
import { rebase } from './rebase'
import { textOf, type Reference } from './reference'
import { useValidation } from './useValidation'

const Editor = lazy(() => import('./Editor'))

export const formats = ['yaml', 'json', 'properties', 'toml', 'xml', 'text'] as const

/** Kinds other than Config are structures. */
const specFormats = ['yaml', 'json', 'toml'] as const

/** What is being written, and on which version. */
export interface Draft {
  /** The version that it began from; 0 for a new document. */
  base: bigint
  baseText: string
  text: string
  format: string
  sensitive: boolean
  /** Grows when the text changes by something else than typing. */
  generation: number
}

export const isChanged = (draft: Draft | undefined) => draft !== undefined && draft.text !== draft.baseText

export function EditPanel({
  reference: ref,
  history,
  draft,
  setDraft,
  published,
}: {
  reference: Reference
  /** Undefined for a document that does not exist yet. */
  history: HistoryResponse | undefined
  draft: Draft
  /** Undefined ends the editing. */
  setDraft: (draft: Draft | undefined) => void
  published: (version: bigint, released: boolean) => void
}) {
  const all = useMessages(texts)
  const t = all.edit
  const [asking, setAsking] = useState(false)
  const [goTo, setGoTo] = useState<{ line: number; column?: number }>()
  const [showChange, setShowChange] = useState(false)
  const validation = useValidation(ref, draft.text, draft.format, draft.sensitive, true)
  const schemas = useSchemas(ref, true)
  const newer = newerThan(history?.versions ?? [], draft.base)
  const go = (problem: Problem) => problem.line !== undefined && setGoTo({ line: problem.line, column: problem.column })
  const changed = isChanged(draft) || draft.base === 0n
  const why = !changed ? t.unchanged : validation.state === 'invalid' ? t.invalid : undefined
  return (
    <Panel
      title={draft.base > 0n ? t.title(String(draft.base)) : t.titleNew}
      extra={
        <Space wrap size={8}>
          {(draft.base === 0n || draft.format !== 'yaml') && (
            <Select
              aria-label={t.format}
              size="small"
              className="g-document-format"
              value={draft.format}
              disabled={draft.base > 0n && ref.kind !== 'Config'}
              options={(ref.kind === 'Config' ? formats : specFormats).map((format) => ({
                value: format,
                label: format,
              }))}
              onChange={(format) => setDraft({ ...draft, format, generation: draft.generation + 1 })}
            />
          )}
          <Tooltip title={t.sensitiveText}>
            <Checkbox
              checked={draft.sensitive}
              onChange={(event) => setDraft({ ...draft, sensitive: event.target.checked })}
            >
              {t.sensitive}
            </Checkbox>
          </Tooltip>
          {draft.base > 0n && changed && (
            <Button size="small" aria-pressed={showChange} onClick={() => setShowChange(!showChange)}>
              {showChange ? t.showText : t.showChange}
            </Button>
          )}
          <Button size="small" onClick={() => setDraft(undefined)}>
            {t.discard}
          </Button>
          <Tooltip title={why}>
            <Button type="primary" size="small" disabled={why !== undefined} onClick={() => setAsking(true)}>
              {t.publish}
            </Button>
          </Tooltip>
        </Space>
      }
    >
      {newer.length > 0 && <Meanwhile reference={ref} draft={draft} newer={newer} setDraft={setDraft} />}
      {showChange && changed ? (
        <Diff
          before={draft.baseText}
          after={draft.text}
          format={draft.format}
          beforeName={all.version(String(draft.base))}
          afterName={all.yours}
        />
      ) : (
        <Suspense fallback={<Loading shape="chart" />}>
          <Editor
            text={draft.text}
            generation={draft.generation}
            format={draft.format}
            label={t.label(ref.name)}
            readOnly={false}
            onChange={(text) => setDraft({ ...draft, text })}
            onSave={() => why === undefined && setAsking(true)}
            problems={validation.problems}
            schemas={schemas}
            goTo={goTo}
          />
        </Suspense>
      )}
      <Problems validation={validation} goTo={go} markSensitive={() => setDraft({ ...draft, sensitive: true })} />
      {!showChange && <p className="g-secondary g-document-keys">{t.keys}</p>}
      {asking && (
        <PublishDialog
          reference={ref}
          draft={draft}
          head={history?.document}
          close={() => setAsking(false)}
          published={published}
        />
      )}
    </Panel>
  )
}

/** Somebody published while this was written: shows what, and puts the change onto it. */
function Meanwhile({
  reference: ref,
  draft,
  newer,
  setDraft,
}: {
  reference: Reference
  draft: Draft
  newer: readonly Version[]
  setDraft: (draft: Draft) => void
}) {
  const all = useMessages(texts)
  const t = all.meanwhile
  const latest = newer[0]!
  const theirs = useVersion(ref, latest.version)
  const [shown, setShown] = useState(false)
  const [result, setResult] = useState<string>()
  const content = theirs.data?.version
  const text = content && !content.withheld && content.version === latest.version ? textOf(content.content) : undefined
  const put = () => {
    if (text === undefined) return
    const merged = rebase(draft.baseText, draft.text, text, all.yours, all.version(String(latest.version)))
    if (!merged) {
      setResult(t.tooLarge)
      return
    }
    setDraft({
      ...draft,
      base: latest.version,
      baseText: text,
      text: merged.text,
      generation: draft.generation + 1,
    })
  }
  return (
    <Alert
      className="g-document-meanwhile"
      type="warning"
      showIcon
      role="alert"
      title={t.title(latest.author, String(latest.version))}
      description={
        <>
          <p>
            <Ago at={dateOf(latest.createdAt)} />
            {latest.message && <> · {latest.message}</>} · {newer.length > 1 && t.several(newer.length)} {t.text}
          </p>
          <Space wrap>
            <Button size="small" disabled={text === undefined} onClick={() => setShown(!shown)} aria-expanded={shown}>
              {t.show}
            </Button>
            <Button size="small" type="primary" disabled={text === undefined} onClick={put}>
              {t.rebase(String(latest.version))}
            </Button>
          </Space>
          {result && <p className="g-danger">{result}</p>}
          {shown && text !== undefined && (
            <Diff
              before={draft.baseText}
              after={text}
              format={draft.format}
              beforeName={all.version(String(draft.base))}
              afterName={all.version(String(latest.version))}
            />
          )}
        </>
      }
    />
  )
}
