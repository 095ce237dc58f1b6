import { MoreOutlined, PlusOutlined } from '@ant-design/icons'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { App, Button, Dropdown, Input, Tag, Tooltip } from 'antd'
import { useMemo, useState } from 'react'
import { useNavigate } from 'react-router'
import { Role, type User } from '@/api/gen/gantry/v1/access_pb'
import { access } from '@/api/clients/access'
import { key } from '@/api/keys'
import { isForbidden } from '@/app/errors'
import { useMessages } from '@/app/i18n'
import { paths, withQuery } from '@/app/paths'
import { useSession } from '@/app/session'
import { Answer } from '@/ui/Answer'
import { clear } from '@/ui/clear'
import { useConfirm } from '@/ui/Confirm'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Ago } from '@/ui/Time'
import { useUndo } from '@/ui/Undo'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { GrantTags } from './Grants'
import { texts } from './messages'
import { PasswordDialog, UserDialog } from './UserDialogs'

type Dialog = { what: 'new' } | { what: 'grants' | 'password'; user: User }

export function UsersTab({ namespace }: { namespace: string }) {
  const all = useMessages(texts)
  const t = all.users
  const session = useSession()
  const admin = session.can(Role.ADMIN, '*')
  const [dialog, setDialog] = useState<Dialog>()
  const [search, setSearch] = useState('')
  const list = useQuery({
    queryKey: key('access', namespace, 'users'),
    queryFn: ({ signal }) => access.listUsers({}, { signal }),
    retry: (count, error) => !isForbidden(error) && count < 2,
  })
  const columns = useColumns(namespace, setDialog)
  const shown = useMemo(
    () => (list.data?.users ?? []).filter((user) => user.name.toLowerCase().includes(search.trim().toLowerCase())),
    [list.data, search],
  )
  if (isForbidden(list.error))
    return (
      <Panel title={t.list}>
        <Empty title={t.forbidden}>{t.forbiddenText}</Empty>
      </Panel>
    )
  return (
    <>
      <div className="g-toolbar">
        <Input
          className="g-users-search"
          allowClear={clear}
          aria-label={t.search}
          placeholder={t.search}
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        <Tooltip title={admin ? undefined : all.needsAdmin}>
          <Button type="primary" icon={<PlusOutlined />} disabled={!admin} onClick={() => setDialog({ what: 'new' })}>
            {t.new}
          </Button>
        </Tooltip>
      </div>
      <Panel title={t.list} className="g-panel-flush">
        <Answer query={list}>
          {() => (
            <VirtualTable
              label={t.list}
              rows={shown}
              columns={columns}
              rowKey={(user) => user.name}
              initialSort={{ key: 'name', descending: false }}
              empty={<Empty title={t.none}>{t.noneText}</Empty>}
            />
          )}
        </Answer>
      </Panel>
      {dialog?.what === 'password' && (
        <PasswordDialog namespace={namespace} user={dialog.user} close={() => setDialog(undefined)} />
      )}
      {(dialog?.what === 'new' || dialog?.what === 'grants') && (
        <UserDialog
          namespace={namespace}
          user={dialog.what === 'grants' ? dialog.user : undefined}
          close={() => setDialog(undefined)}
        />
      )}
    </>
  )
}

function useColumns(namespace: string, open: (dialog: Dialog) => void): Column<User>[] {
  const t = useMessages(texts)
  const session = useSession()
  return useMemo(
    () => [
      {
        key: 'name',
        title: t.users.name,
        width: '1fr',
        render: (user) => (
          <span title={user.name}>
            <strong>{user.name}</strong> {session.actor === `user:${user.name}` && <Tag>{t.users.you}</Tag>}
          </span>
        ),
        compare: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
      },
      { key: 'grants', title: t.grants, width: '2fr', render: (user) => <GrantTags grants={user.grants} /> },
      {
        key: 'state',
        title: t.users.state,
        width: 128,
        render: (user) =>
          user.disabled ? (
            <StateTag state="down">{t.users.disabled}</StateTag>
          ) : (
            <StateTag state="up">{t.users.enabled}</StateTag>
          ),
        compare: (a, b) => Number(a.disabled) - Number(b.disabled),
      },
      { key: 'created', title: t.users.created, width: 120, render: (user) => <Ago at={dateOf(user.createdAt)} /> },
      { key: 'changed', title: t.users.changed, width: 120, render: (user) => <Ago at={dateOf(user.changedAt)} /> },
      {
        key: 'actions',
        title: '',
        width: 48,
        align: 'right',
        render: (user) => <Actions namespace={namespace} user={user} open={open} />,
      },
    ],
    [namespace, open, session.actor, t],
  )
}

function Actions({ namespace, user, open }: { namespace: string; user: User; open: (dialog: Dialog) => void }) {
  const all = useMessages(texts)
  const t = all.users
  const admin = useSession().can(Role.ADMIN, '*')
  const navigate = useNavigate()
  const acts = useActs(namespace, user)
  const { name } = user
  const locked = { disabled: !admin, title: admin ? undefined : all.needsAdmin }
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        items: [
          // The administrator of a namespace may change the grants on it.
          { key: 'grants', label: t.edit },
          { key: 'password', label: t.password, ...locked },
          { key: 'toggle', label: user.disabled ? t.enable : t.disable, ...locked },
          { key: 'audit', label: t.audit },
          { type: 'divider' },
          { key: 'delete', label: t.delete, danger: true, ...locked },
        ],
        onClick: ({ key: chosen }) => {
          if (chosen === 'grants' || chosen === 'password') open({ what: chosen, user })
          if (chosen === 'toggle') void (user.disabled ? acts.enable() : acts.disable())
          if (chosen === 'audit')
            void navigate(
              withQuery(paths.audit(namespace), { where: 'all', actor: `user:${name}`, from: '-7d', to: 'now' }),
            )
          if (chosen === 'delete') acts.remove()
        },
      }}
    >
      <Button size="small" type="text" icon={<MoreOutlined />} aria-label={t.actions(name)} />
    </Dropdown>
  )
}

function useActs(namespace: string, user: User) {
  const t = useMessages(texts).users
  const { message } = App.useApp()
  const confirm = useConfirm()
  const undo = useUndo()
  const client = useQueryClient()
  const refresh = () => client.invalidateQueries({ queryKey: key('access', namespace) })
  const set = async (disabled: boolean) => {
    await access.updateUser({ name: user.name, disabled })
    await refresh()
  }
  const ask = (disabled: boolean) =>
    confirm({
      title: disabled ? t.disableTitle(user.name) : `${t.enable} ${user.name}`,
      what: disabled ? t.disableWhat(user.name) : t.enabled,
      undoable: true,
      action: disabled ? t.disable : t.enable,
      run: async () => {
        await set(disabled)
        undo(disabled ? t.disabledDone(user.name) : t.enabledDone(user.name), () => set(!disabled))
      },
    })
  return {
    disable: () => ask(true),
    enable: () => ask(false),
    remove: () =>
      confirm({
        title: t.deleteTitle(user.name),
        what: t.deleteWhat(user.name),
        undoable: false,
        action: t.delete,
        typed: user.name,
        run: async () => {
          await access.deleteUser({ name: user.name })
          void message.success(t.deleted(user.name))
          await refresh()
        },
      }),
  }
}
