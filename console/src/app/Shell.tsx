import {
  LogoutOutlined,
  MenuFoldOutlined,
  MenuOutlined,
  MenuUnfoldOutlined,
  SearchOutlined,
  UserOutlined,
} from '@ant-design/icons'
import { useQuery } from '@tanstack/react-query'
import { App, Button, Divider, Popover, Tag } from 'antd'
import { lazy, Suspense, useEffect, useMemo, useState } from 'react'
import { Link, Outlet, useLocation, useNavigate } from 'react-router'
import { key } from '@/api/keys'
import { Loading } from '@/ui/Loading'
import { ErrorBoundary } from './ErrorBoundary'
import { useMessages } from './i18n'
import { LiveBanner, LiveSign } from './LiveBanner'
import { useLive, useLiveLine } from './live'
import { texts } from './messages'
import { useNamespace } from './namespace'
import { Navigation } from './Navigation'
import { pages } from './pages'
import { paths } from './paths'
import { setPreferences, usePreferences } from './preferences'
import { useSession } from './session'
import { LanguageSwitch, ThemeSwitch } from './Switches'

const Palette = lazy(() => import('./Palette'))
const NavigationDrawer = lazy(() => import('./NavigationDrawer'))
const RefusedNamespace = lazy(() => import('./RefusedNamespace'))

function NamespaceSwitch() {
  const t = useMessages(texts).shell
  const namespace = useNamespace()
  const navigate = useNavigate()
  const { pathname } = useLocation()
  const list = useQuery({
    queryKey: key('services', namespace, 'namespaces'),
    queryFn: async ({ signal }) => {
      // Its code comes after the first frame.
      const { instances } = await import('@/api/clients/instances')
      return instances.listNamespaces({}, { signal })
    },
    staleTime: 60_000,
  })
  const names = useMemo(
    () => [...new Set([namespace, ...(list.data?.namespaces ?? []).map((n) => n.name)])].sort(),
    [list.data, namespace],
  )
  return (
    <select
      className="g-namespace"
      aria-label={t.namespace}
      value={namespace}
      // The same page elsewhere, but not the same thing: what one page is about may not be there.
      onChange={({ target }) =>
        void navigate(`/${encodeURIComponent(target.value)}/${pathname.split('/')[2] ?? 'overview'}`)
      }
    >
      {names.map((name) => (
        <option key={name}>{name}</option>
      ))}
    </select>
  )
}

function Me() {
  const t = useMessages(texts).shell
  const session = useSession()
  return (
    <Popover
      trigger="click"
      placement="bottomRight"
      content={
        <div className="g-me">
          {session.authenticationOff ? (
            <Tag color="warning">{t.authenticationOff}</Tag>
          ) : (
            <code className="g-break">{session.actor}</code>
          )}
          <LanguageSwitch />
          <ThemeSwitch />
          {!session.authenticationOff && (
            <>
              <Divider size="small" />
              <Button icon={<LogoutOutlined />} onClick={() => void session.logout()} block>
                {t.logout}
              </Button>
            </>
          )}
        </div>
      }
    >
      <Button type="text" icon={<UserOutlined />} aria-label={t.settings} title={t.settings} />
    </Popover>
  )
}

/** What asks and tells stands inside of the session and the router, so that its content may use both. */
export function Shell() {
  return (
    <App component={false}>
      <Frame />
    </App>
  )
}

function Frame() {
  const t = useMessages(texts).shell
  const { collapsed } = usePreferences()
  const namespace = useNamespace()
  const { pathname } = useLocation()
  const [drawer, setDrawer] = useState(false)
  const [palette, setPalette] = useState(false)
  useLiveLine(namespace)
  const { state } = useLive()
  // Users and nodes are of no namespace, whatever the address says.
  const here = pathname.split('/')[2] ?? ''
  const refused = state === 'refused' && pages.find((page) => page.path === here)?.noun !== 'administration'
  // What is not there is not gone back to.
  useEffect(() => {
    if (state === 'live') setPreferences({ namespace })
  }, [namespace, state])
  useEffect(() => {
    const open = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return
      event.preventDefault()
      setPalette(true)
    }
    addEventListener('keydown', open)
    return () => removeEventListener('keydown', open)
  }, [])
  return (
    <div className="g-shell">
      <a
        className="g-skip"
        href="#content"
        onClick={(event) => {
          event.preventDefault()
          document.getElementById('content')?.focus()
        }}
      >
        {t.skip}
      </a>
      <header className="g-header">
        <Button
          className="g-burger"
          type="text"
          icon={<MenuOutlined />}
          aria-label={t.menu}
          onClick={() => setDrawer(true)}
        />
        <Link to={paths.overview(namespace)} className="g-brand">
          <img src="/console/icon.svg" alt="" width={24} height={24} />
          <span>Gantry</span>
        </Link>
        <NamespaceSwitch />
        <span className="g-grow" />
        <Button className="g-search" icon={<SearchOutlined />} onClick={() => setPalette(true)}>
          <span className="g-search-word">{t.search}</span>
          <kbd aria-hidden>Ctrl K</kbd>
        </Button>
        <LiveSign />
        <Me />
      </header>
      <div className="g-body">
        <div className={`g-sider${collapsed ? ' g-sider-collapsed' : ''}`}>
          <Navigation collapsed={collapsed} />
          <Button
            className="g-collapse"
            type="text"
            icon={collapsed ? <MenuUnfoldOutlined /> : <MenuFoldOutlined />}
            aria-label={t.collapse}
            title={t.collapse}
            onClick={() => setPreferences({ collapsed: !collapsed })}
          />
        </div>
        <main id="content" tabIndex={-1} className="g-main">
          <LiveBanner />
          <ErrorBoundary key={pathname}>
            <Suspense fallback={<Loading />}>{refused ? <RefusedNamespace /> : <Outlet />}</Suspense>
          </ErrorBoundary>
        </main>
      </div>
      {drawer && (
        <Suspense>
          <NavigationDrawer close={() => setDrawer(false)} />
        </Suspense>
      )}
      {palette && (
        <Suspense>
          <Palette close={() => setPalette(false)} />
        </Suspense>
      )}
    </div>
  )
}
