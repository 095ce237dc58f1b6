import { Button, Tabs, Tooltip } from 'antd'
import { useState, type ReactNode } from 'react'
import { useSearchParams } from 'react-router'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { useSession } from '@/app/session'
import { Page } from '@/ui/Page'
import { RolesTab } from './Grants'
import { texts } from './messages'
import { TokensTab } from './TokensTab'
import { OwnPasswordDialog } from './UserDialogs'
import { UsersTab } from './UsersTab'
import './users.css'

const tabs = ['users', 'tokens', 'roles'] as const
type Tab = (typeof tabs)[number]

/** People, programs, and what they may do. */
export default function Users() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const session = useSession()
  const [search, setSearch] = useSearchParams()
  const tab = tabs.find((known) => known === search.get('tab')) ?? 'users'
  const [changing, setChanging] = useState(false)
  const user = session.actor.startsWith('user:')
  const admin = session.can(Role.ADMIN, namespace) || session.can(Role.ADMIN, '*')
  const panes: Record<Tab, ReactNode> = {
    users: <UsersTab namespace={namespace} />,
    tokens: <TokensTab namespace={namespace} may={admin} />,
    roles: <RolesTab />,
  }
  return (
    <Page
      title={t.title}
      actions={
        <Tooltip title={user ? t.me(session.actor) : session.authenticationOff ? t.meOff : t.own.notUser}>
          <Button disabled={!user} onClick={() => setChanging(true)}>
            {t.own.action}
          </Button>
        </Tooltip>
      }
      same={{
        command: [tab === 'tokens' ? 'token' : 'user', 'list'],
        call: { method: `gantry.v1.AccessService/${tab === 'tokens' ? 'ListTokens' : 'ListUsers'}`, message: {} },
      }}
    >
      <Tabs
        activeKey={tab}
        onChange={(next) => setSearch(next === 'users' ? {} : { tab: next })}
        items={tabs.map((name) => ({
          key: name,
          label: t.tabs[name],
          children: name === tab && <div className="g-users-pane">{panes[name]}</div>,
        }))}
      />
      {changing && <OwnPasswordDialog close={() => setChanging(false)} />}
    </Page>
  )
}
