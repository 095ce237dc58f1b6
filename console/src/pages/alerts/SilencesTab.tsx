import { DownOutlined, PlusOutlined } from '@ant-design/icons'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { App, Button, Dropdown, Tooltip } from 'antd'
import { useMemo } from 'react'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import type { AlertRule } from '@/api/gen/gantry/v1/alert_pb'
import { releases } from '@/api/clients/releases'
import { useMessages } from '@/app/i18n'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { useSession } from '@/app/session'
import { Answer } from '@/ui/Answer'
import { useConfirm } from '@/ui/Confirm'
import { Empty } from '@/ui/Empty'
import { Failure } from '@/ui/Failure'
import { dateTime, seconds } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import type { State } from '@/ui/states'
import { Ago, Time } from '@/ui/Time'
import { useUndo } from '@/ui/Undo'
import { texts } from './messages'
import { useReleased } from './queries'
import { readSilence, silenceContent, sortSilences, type Silence, type SilenceState } from './silences'

const words: Record<SilenceState, State> = { active: 'success', future: 'starting', ended: 'inactive' }

export function SilencesTab({
  namespace,
  rules,
  make,
}: {
  namespace: string
  rules: readonly AlertRule[]
  make: () => void
}) {
  const t = useMessages(texts)
  const may = useSession().can(Role.RELEASER, namespace)
  const list = useReleased(namespace, 'Silence')
  const sorted = useMemo(() => sortSilences((list.data ?? []).map(readSilence), new Date()), [list.data])
  return (
    <Panel
      title={t.silences.list}
      className="g-panel-flush"
      extra={
        <Tooltip title={may ? undefined : t.mayNot}>
          <Button type="primary" size="small" icon={<PlusOutlined />} disabled={!may} onClick={make}>
            {t.silences.new}
          </Button>
        </Tooltip>
      }
    >
      <Answer query={list}>
        {() =>
          sorted.length === 0 ? (
            <Empty title={t.silences.none}>{t.silences.noneText}</Empty>
          ) : (
            <ul className="g-alerts-list">
              {sorted.map(({ silence, state }) => (
                <SilenceRow
                  key={silence.name}
                  namespace={namespace}
                  silence={silence}
                  state={state}
                  rules={rules}
                  may={may}
                />
              ))}
            </ul>
          )
        }
      </Answer>
    </Panel>
  )
}

function SilenceRow({
  namespace,
  silence,
  state,
  rules,
  may,
}: {
  namespace: string
  silence: Silence
  state: SilenceState
  rules: readonly AlertRule[]
  may: boolean
}) {
  const all = useMessages(texts)
  const t = all.silences
  const hidden = rules.flatMap((rule) => rule.alerts).filter((alert) => alert.silencedBy.includes(silence.name)).length
  const end = useEnd(namespace, silence, state === 'ended')
  return (
    <li>
      <StateTag state={words[state]}>{t[state]}</StateTag>
      <div className="g-alerts-what">
        <div className="g-break">
          <PageLink to={paths.document(namespace, 'Silence', silence.name)}>
            <strong>{silence.name}</strong>
          </PageLink>{' '}
          {silence.comment} <span className="g-secondary">{silence.author}</span>
        </div>
        {silence.unread === undefined ? (
          <div className="g-alerts-tags">
            {silence.matchers.map((matcher) => (
              <code key={matcher} className="g-alerts-tag">
                {matcher}
              </code>
            ))}
            {hidden > 0 && <span className="g-secondary">{t.hides(hidden)}</span>}
          </div>
        ) : (
          <pre className="g-pre">{silence.unread}</pre>
        )}
      </div>
      <div className="g-alerts-when">
        {state === 'future' && (
          <div>
            <span className="g-secondary">{t.begins} </span>
            <Time at={silence.from} />
          </div>
        )}
        <div>
          <span className="g-secondary">{t.ends} </span>
          <Time at={silence.until} />
        </div>
        <div className="g-secondary">
          <Ago at={state === 'future' ? silence.from : silence.until} />
        </div>
      </div>
      <div className="g-alerts-acts">
        {state !== 'ended' && silence.until && silence.unread === undefined && (
          <Extend namespace={namespace} silence={silence} until={silence.until} may={may} />
        )}
        <Tooltip title={may ? undefined : all.mayNot}>
          <Button
            size="small"
            disabled={!may}
            aria-label={state === 'ended' ? t.removeThis(silence.name) : t.endThis(silence.name)}
            onClick={end}
          >
            {state === 'ended' ? t.remove : t.end}
          </Button>
        </Tooltip>
      </div>
    </li>
  )
}

const longer = [3600, 8 * 3600, 24 * 3600] as const

/** Lets a silence last longer, by a new version of its document. */
function Extend({
  namespace,
  silence,
  until,
  may,
}: {
  namespace: string
  silence: Silence
  until: Date
  may: boolean
}) {
  const all = useMessages(texts)
  const t = all.silences
  const { notification } = App.useApp()
  const undo = useUndo()
  const ref = { namespace, kind: 'Silence', name: silence.name }
  const extend = useMutation({
    mutationFn: (end: Date) =>
      releases.publish({
        ref,
        format: 'yaml',
        content: new TextEncoder().encode(silenceContent({ ...silence, until: end })),
        message: t.extend,
        release: true,
        // What somebody else wrote meanwhile is not taken back.
        expectedVersion: silence.version,
      }),
    onSuccess: (_, end) =>
      undo(t.extended(silence.name, dateTime(end)), async () => {
        await releases.rollback({ ref, version: silence.version })
      }),
    onError: (error) =>
      notification.error({
        title: t.extendFailed(silence.name),
        description: <Failure error={error} compact />,
        duration: 0,
      }),
  })
  const ends = longer.map((by) => ({ by, end: new Date(until.getTime() + by * 1000) }))
  return (
    <Tooltip title={may ? undefined : all.mayNot}>
      <Dropdown
        trigger={['click']}
        disabled={!may}
        menu={{
          items: ends.map(({ by, end }) => ({ key: by, label: t.extendBy(seconds(by), dateTime(end)) })),
          onClick: ({ key }) => extend.mutate(ends.find(({ by }) => String(by) === key)!.end),
        }}
      >
        <Button
          size="small"
          icon={<DownOutlined />}
          iconPlacement="end"
          disabled={!may}
          loading={extend.isPending}
          aria-label={t.extendThis(silence.name)}
        >
          {t.extend}
        </Button>
      </Dropdown>
    </Tooltip>
  )
}

/** Ends a silence by deleting its document. The document's history stays, and so it can be brought back. */
function useEnd(namespace: string, silence: Silence, ended: boolean) {
  const t = useMessages(texts).silences
  const confirm = useConfirm()
  const undo = useUndo()
  const client = useQueryClient()
  const ref = { namespace, kind: 'Silence', name: silence.name }
  const refresh = () => client.invalidateQueries({ predicate: ({ queryKey }) => queryKey.includes('alert-rules') })
  return () =>
    confirm({
      title: ended ? t.removeThis(silence.name) : t.endThis(silence.name),
      what: ended ? t.removeWhat(silence.name) : t.endWhat(silence.name),
      undoable: true,
      action: ended ? t.remove : t.end,
      run: async () => {
        await releases.delete({ ref, message: 'silence ended' })
        void refresh()
        undo(ended ? t.removeDone(silence.name) : t.endDone(silence.name), async () => {
          await releases.rollback({ ref, version: silence.version })
          void refresh()
        })
      },
    })
}
