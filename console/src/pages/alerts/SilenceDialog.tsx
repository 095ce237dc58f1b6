import { DeleteOutlined, PlusOutlined } from '@ant-design/icons'
import { useQueryClient } from '@tanstack/react-query'
import { Button, Input, Modal, Segmented, Tooltip } from 'antd'
import { useId, useState } from 'react'
import type { AlertRule } from '@/api/gen/gantry/v1/alert_pb'
import { releases } from '@/api/clients/releases'
import { useMessages } from '@/app/i18n'
import { Failure } from '@/ui/Failure'
import { dateTime, seconds } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { useUndo } from '@/ui/Undo'
import { exactly, meetsAll, parseMatcher } from './matchers'
import { texts } from './messages'
import { ownLabels } from './model'
import { silenceContent, silenceName } from './silences'

const durations = [1800, 3600, 2 * 3600, 8 * 3600, 24 * 3600, 7 * 24 * 3600] as const
const usual = 3600

/** What a silence begins with: the alert's rule and all its labels but those that are always there. */
export const matchersFor = (labels: Readonly<Record<string, string>>): string[] => [
  ...(labels['alertname'] ? [exactly('alertname', labels['alertname'])] : []),
  ...ownLabels(labels).map(([name, value]) => exactly(name, value)),
]

/** Asks what is silenced, for how long and why, with everything filled in; then publishes and releases the document. */
export function SilenceDialog({
  namespace,
  rules,
  subject,
  matchers: given,
  close,
}: {
  namespace: string
  rules: readonly AlertRule[]
  /** The rule that it is made from, for its name. */
  subject: string
  matchers: readonly string[]
  close: () => void
}) {
  const t = useMessages(texts).dialog
  const id = useId()
  const client = useQueryClient()
  const undo = useUndo()
  const [matchers, setMatchers] = useState<string[]>(given.length > 0 ? [...given] : [''])
  const [last, setLast] = useState<number>(usual)
  const [begin, setBegin] = useState('')
  const [comment, setComment] = useState(t.comments)
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)
  const written = matchers.map((matcher) => matcher.trim()).filter(Boolean)
  const wrong = written.some((matcher) => !parseMatcher(matcher))
  const ready = written.length > 0 && !wrong && comment.trim() !== ''
  const from = begin ? new Date(begin) : new Date()
  const until = new Date(from.getTime() + last * 1000)

  const submit = async () => {
    setBusy(true)
    setError(undefined)
    const ref = { namespace, kind: 'Silence', name: silenceName(subject, new Date()) }
    const content = silenceContent({ matchers: written, from, until, comment: comment.trim() })
    try {
      await releases.publish({
        ref,
        format: 'yaml',
        content: new TextEncoder().encode(content),
        message: comment.trim(),
        release: true,
        // A name that is taken is another silence: it is not replaced.
        expectedVersion: 0n,
      })
    } catch (failed) {
      setError(failed)
      setBusy(false)
      return
    }
    const refresh = () => client.invalidateQueries({ predicate: ({ queryKey }) => queryKey.includes('alert-rules') })
    undo(t.done(ref.name), async () => {
      await releases.delete({ ref, message: t.removed })
      void refresh()
    })
    void refresh()
    close()
  }

  return (
    <Modal
      open
      title={t.title}
      onCancel={close}
      width={560}
      footer={[
        <Button key="cancel" onClick={close}>
          {t.cancel}
        </Button>,
        <Button key="submit" type="primary" autoFocus disabled={!ready} loading={busy} onClick={() => void submit()}>
          {t.submit(seconds(last))}
        </Button>,
      ]}
    >
      <div className="g-alerts-dialog">
        <p className="g-secondary">{t.what}</p>
        <fieldset>
          <legend>{t.matchers}</legend>
          {matchers.map((matcher, i) => {
            const bad = matcher.trim() !== '' && !parseMatcher(matcher)
            return (
              <div key={i} className="g-alerts-matcher">
                <Input
                  className="g-mono"
                  aria-label={t.matcher(i + 1)}
                  value={matcher}
                  placeholder={t.example}
                  status={bad ? 'error' : undefined}
                  aria-invalid={bad}
                  aria-describedby={bad ? `${id}-bad` : undefined}
                  onChange={(event) => setMatchers(matchers.map((old, j) => (j === i ? event.target.value : old)))}
                />
                <Tooltip title={t.remove}>
                  <Button
                    icon={<DeleteOutlined />}
                    aria-label={`${t.remove} ${i + 1}`}
                    disabled={matchers.length === 1}
                    onClick={() => setMatchers(matchers.filter((_, j) => j !== i))}
                  />
                </Tooltip>
              </div>
            )
          })}
          {wrong && (
            <div id={`${id}-bad`} className="g-danger">
              {t.badMatcher}
            </div>
          )}
          <div className="g-alerts-under">
            <Button size="small" icon={<PlusOutlined />} onClick={() => setMatchers([...matchers, ''])}>
              {t.add}
            </Button>
            <Matched rules={rules} matchers={wrong ? [] : written} />
          </div>
        </fieldset>
        <div>
          <div className="g-alerts-label" id={`${id}-for`}>
            {t.duration}
          </div>
          <Segmented
            block
            aria-labelledby={`${id}-for`}
            value={last}
            onChange={setLast}
            options={durations.map((value) => ({ value, label: seconds(value) }))}
          />
        </div>
        <div className="g-alerts-times">
          <label>
            <span className="g-alerts-label">{t.begins}</span>
            <Input type="datetime-local" value={begin} onChange={(event) => setBegin(event.target.value)} />
            <span className="g-secondary">{t.beginsNow}</span>
          </label>
          <div>
            <span className="g-alerts-label">{t.until}</span>
            <div className="g-num g-alerts-until">{dateTime(until)}</div>
          </div>
        </div>
        <label>
          <span className="g-alerts-label">{t.comment}</span>
          <Input
            value={comment}
            maxLength={300}
            status={comment.trim() ? undefined : 'error'}
            onChange={(event) => setComment(event.target.value)}
            onPressEnter={() => ready && !busy && void submit()}
          />
          {!comment.trim() && <span className="g-danger">{t.noComment}</span>}
        </label>
        {error !== undefined && <Failure error={error} compact />}
      </div>
    </Modal>
  )
}

/** How many of the alerts of now it would keep back. */
function Matched({ rules, matchers }: { rules: readonly AlertRule[]; matchers: readonly string[] }) {
  const t = useMessages(texts).dialog
  if (matchers.length === 0) return <span className="g-secondary">{t.none}</span>
  const met = rules.flatMap((rule) => rule.alerts.map((alert) => meetsAll(matchers, alert.labels)))
  if (met.includes(undefined)) return <span className="g-secondary">{t.matchesUnknown}</span>
  const count = met.filter(Boolean).length
  if (count === 0) return <StateTag state="refused">{t.matchesNone}</StateTag>
  return <span className="g-secondary">{t.matches(count)}</span>
}
