import { Button, Dropdown, Tabs, Tooltip, App } from 'antd'
import { DeleteOutlined, DownloadOutlined, EllipsisOutlined, RollbackOutlined, SendOutlined } from '@ant-design/icons'
import { useEffect, useState } from 'react'
import { Link, useBlocker, useParams, useSearchParams } from 'react-router'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import type { HistoryResponse } from '@/api/gen/gantry/v1/release_pb'
import { releases } from '@/api/clients/releases'
import { explain } from '@/app/errors'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { paths } from '@/app/paths'
import { useSession } from '@/app/session'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { Page } from '@/ui/Page'
import { formatManifest } from '../documents/manifest'
import { download } from '../documents/download'
import { ActDialog, type Act } from './ActDialog'
import { ContentTab, shownVersion } from './ContentTab'
import { comparedVersions, DiffTab } from './DiffTab'
import { EditPanel, isChanged, type Draft } from './EditPanel'
import { Facts } from './Facts'
import { rollbackTarget } from './history'
import { HistoryTab } from './HistoryTab'
import { texts } from './messages'
import { Phase } from './Phase'
import { isMissing, useHistory } from './queries'
import { cohortFlags, cohortJson, formatOfName, words, type Reference } from './reference'
import { releaseForm, ReleaseTab } from './ReleaseTab'
import { RolloutPanel } from './RolloutPanel'
import './document.css'

const tabs = ['content', 'diff', 'release', 'history'] as const
type Tab = (typeof tabs)[number]

export default function DocumentPage() {
  const namespace = useNamespace()
  const { kind = '', name = '' } = useParams()
  return <One key={`${namespace}/${kind}/${name}`} reference={{ namespace, kind, name }} />
}

function One({ reference: ref }: { reference: Reference }) {
  const t = useMessages(texts)
  const session = useSession()
  const { modal } = App.useApp()
  const [parameters, setParameters] = useSearchParams()
  const history = useHistory(ref)
  const [act, setAct] = useState<Act>()
  const mayPublish = session.can(Role.DEVELOPER, ref.namespace)
  const mayRelease = session.can(Role.RELEASER, ref.namespace)
  const missing = isMissing(history.error)
  const [draft, setDraft] = useState<Draft | undefined>(() =>
    parameters.has('new') && mayPublish
      ? {
          base: 0n,
          baseText: '',
          text: '',
          format: parameters.get('format') ?? formatOfName(ref.name),
          sensitive: false,
          generation: 0,
        }
      : undefined,
  )
  const named = parameters.get('tab')
  const tab: Tab = tabs.find((one) => one === named) ?? 'content'
  const show = (tab: Tab, more: Record<string, string> = {}) =>
    setParameters((before) => {
      const next = new URLSearchParams({ ...more, ...(tab === 'content' ? {} : { tab }) })
      const version = before.get('version')
      if (version && !next.has('version') && tab !== 'diff') next.set('version', version)
      return next
    })
  const changed = isChanged(draft)
  useLeaving(changed)
  const discard = (next: Draft | undefined) => {
    if (next || !changed) setDraft(next)
    else
      modal.confirm({
        title: t.edit.discardTitle,
        content: t.edit.discardText,
        okText: t.edit.discard,
        cancelText: t.edit.stay,
        okButtonProps: { danger: true },
        onOk: () => setDraft(undefined),
      })
  }
  const published = (version: bigint, released: boolean) => {
    setDraft(undefined)
    void history.refetch()
    if (released) setParameters({})
    else if (mayRelease) setParameters({ tab: 'release', version: String(version) })
    else setParameters({ version: String(version) })
  }
  const data = missing ? undefined : history.data
  const head = data?.document
  const fresh = missing || (head === undefined && draft !== undefined)
  return (
    <Page
      title={ref.name}
      tag={head && <Phase document={head} detailed />}
      crumbs={[{ title: t.documents, to: paths.documents(ref.namespace) }, { title: ref.kind }]}
      same={sameAs(ref, tab, parameters, data)}
      actions={
        head && data && <Actions reference={ref} history={data} mayRelease={mayRelease} ask={setAct} show={show} />
      }
    >
      {fresh ? (
        draft ? (
          <EditPanel reference={ref} history={undefined} draft={draft} setDraft={discard} published={published} />
        ) : (
          <Empty title={t.missing(`${ref.kind}/${ref.name}`)}>
            {mayPublish ? (
              <Link
                to={`?new=1`}
                onClick={() =>
                  setDraft({
                    base: 0n,
                    baseText: '',
                    text: '',
                    format: formatOfName(ref.name),
                    sensitive: false,
                    generation: 0,
                  })
                }
              >
                {t.create}
              </Link>
            ) : (
              t.missingText
            )}
          </Empty>
        )
      ) : (
        <Answer query={history}>
          {(data) => (
            <>
              <Facts reference={ref} history={data} />
              {data.document!.rollout && (
                <RolloutPanel
                  reference={ref}
                  history={data}
                  mayRelease={mayRelease}
                  ask={setAct}
                  next={() => show('release')}
                />
              )}
              <Tabs
                className="g-document-tabs"
                activeKey={tab}
                onChange={(key) => show(key as Tab)}
                destroyOnHidden
                items={tabs.map((key) => ({
                  key,
                  label: key === 'content' && changed ? `${t.tabs[key]} •` : t.tabs[key],
                  children: (
                    <div className="g-document-tab">
                      {key === 'content' &&
                        (draft ? (
                          <EditPanel
                            reference={ref}
                            history={data}
                            draft={draft}
                            setDraft={discard}
                            published={published}
                          />
                        ) : (
                          <ContentTab reference={ref} history={data} mayPublish={mayPublish} edit={setDraft} />
                        ))}
                      {key === 'diff' && <DiffTab reference={ref} history={data} />}
                      {key === 'release' && (
                        <ReleaseTab reference={ref} history={data} mayRelease={mayRelease} ask={setAct} />
                      )}
                      {key === 'history' && (
                        <HistoryTab reference={ref} history={data} mayRelease={mayRelease} ask={setAct} />
                      )}
                    </div>
                  ),
                }))}
              />
              {act && <ActDialog reference={ref} history={data} act={act} close={() => setAct(undefined)} />}
            </>
          )}
        </Answer>
      )}
    </Page>
  )
}

/** What is typed is not lost without a word. */
function useLeaving(changed: boolean) {
  const t = useMessages(texts).edit
  const { modal } = App.useApp()
  const blocker = useBlocker(
    ({ currentLocation, nextLocation }) => changed && currentLocation.pathname !== nextLocation.pathname,
  )
  useEffect(() => {
    if (blocker.state !== 'blocked') return
    const asked = modal.confirm({
      title: t.discardTitle,
      content: t.discardText,
      okText: t.discard,
      cancelText: t.stay,
      okButtonProps: { danger: true },
      onOk: () => blocker.proceed(),
      onCancel: () => blocker.reset(),
    })
    return () => asked.destroy()
  }, [blocker, modal, t])
  useEffect(() => {
    if (!changed) return
    const ask = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', ask)
    return () => removeEventListener('beforeunload', ask)
  }, [changed])
}

function Actions({
  reference: ref,
  history,
  mayRelease,
  ask,
  show,
}: {
  reference: Reference
  history: HistoryResponse
  mayRelease: boolean
  ask: (act: Act) => void
  show: (tab: Tab, more?: Record<string, string>) => void
}) {
  const t = useMessages(texts)
  const { message } = App.useApp()
  const head = history.document!
  const back = rollbackTarget(history.entries, history.versions, head.releasedVersion)
  const needs = mayRelease ? undefined : t.release.needsReleaser
  const save = async () => {
    try {
      const { version } = await releases.get({ ref })
      if (version?.withheld) void message.warning(t.secret.withheld)
      else if (version) download(`${ref.name.replaceAll('/', '_')}.manifest.yaml`, formatManifest(ref, version))
    } catch (error) {
      void message.error(explain(error).message)
    }
  }
  return (
    <>
      <Tooltip title={needs ?? (back === undefined ? t.act.nothingBefore : '')}>
        <Button
          icon={<RollbackOutlined />}
          disabled={needs !== undefined || back === undefined}
          onClick={() => ask({ verb: 'rollback', version: back })}
        >
          {back === undefined ? t.act.rollback : t.act.rollbackTo(String(back))}
        </Button>
      </Tooltip>
      {!head.rollout && (
        <Button type="primary" icon={<SendOutlined />} onClick={() => show('release')}>
          {t.act.release}
        </Button>
      )}
      <Dropdown
        trigger={['click']}
        menu={{
          items: [
            { key: 'save', icon: <DownloadOutlined />, label: t.act.save },
            {
              key: 'delete',
              icon: <DeleteOutlined />,
              danger: true,
              disabled: needs !== undefined || head.deleted,
              title: needs,
              label: t.act.delete,
            },
          ],
          onClick: ({ key }) => (key === 'delete' ? ask({ verb: 'delete' }) : void save()),
        }}
      >
        <Button icon={<EllipsisOutlined />} aria-label={t.act.more} />
      </Dropdown>
    </>
  )
}

/** The command and the call that show, or do, what the tab does. */
function sameAs(ref: Reference, tab: Tab, parameters: URLSearchParams, history: HistoryResponse | undefined) {
  const method = (name: string) => `gantry.v1.ReleaseService/${name}`
  switch (tab) {
    case 'diff': {
      const compared = history && comparedVersions(parameters, history)
      const [from, to] = [String(compared?.from ?? 0), String(compared?.to ?? 0)]
      return {
        command: words('diff', ref, ...(compared ? ['--from', from, '--to', to] : [])),
        call: { method: method('Diff'), message: { ref, from, to } },
      }
    }
    // What the tab shows before anything is done; what does it stands beside the button.
    case 'release': {
      if (!history) return { command: words('get', ref), call: { method: method('Get'), message: { ref } } }
      const { version, cohort, toAll } = releaseForm(parameters, history)
      const [from, to] = [String(history.document!.releasedVersion), String(version)]
      if (!toAll)
        return {
          command: words('preview', ref, ...cohortFlags(cohort)),
          call: { method: method('Preview'), message: { ref, cohort: cohortJson(cohort) } },
        }
      return from === '0'
        ? {
            command: words('get', ref, '--version', to),
            call: { method: method('Get'), message: { ref, version: to } },
          }
        : {
            command: words('diff', ref, '--from', from, '--to', to),
            call: { method: method('Diff'), message: { ref, from, to } },
          }
    }
    case 'history':
      return { command: words('history', ref), call: { method: method('History'), message: { ref } } }
    case 'content': {
      const version = history ? String(shownVersion(parameters, history)) : '0'
      return {
        command: words('get', ref, ...(parameters.has('version') ? ['--version', version] : [])),
        call: { method: method('Get'), message: { ref, version } },
      }
    }
  }
}
