import {
  LogoutOutlined,
  MenuFoldOutlined,
  MenuOutlined,
  MenuUnfoldOutlined,
  SearchOutlined,
  UserOutlined,
} from '@ant-design/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Divider, Drawer, Layout, Menu, Popover, Select, Tag, Tooltip, type MenuProps } from 'antd'
import { lazy, Suspense, useEffect, useMemo, useState } from 'react'
import { Link, Outlet, useLocation, useNavigate } from 'react-router'
import { instances } from '@/api/clients'
import { key } from '@/api/keys'
import { Loading } from '@/ui/Loading'
import { ErrorBoundary } from './ErrorBoundary'
import { useMessages } from './i18n'
import { LiveBanner, LiveSign } from './LiveBanner'
import { useLive, useLiveLine } from './live'
import { texts } from './messages'
import { useNamespace } from './namespace'
import { icons, nouns, pages } from './pages'
import { paths } from './paths'
import { setPreferences, usePreferences } from './preferences'
import { useSession } from './session'
import { LanguageSwitch, ThemeSwitch } from './Switches'

const Palette = lazy(() => import('./Palette'))
const RefusedNamespace = lazy(() => import('./RefusedNamespace'))

function Navigation({ onGo }: { onGo?: () => void }) {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const { pathname } = useLocation()
  const offered = pages.filter((page) => page.menu)
  const items = nouns.flatMap((noun): NonNullable<MenuProps['items']> => {
    const entries = offered
      .filter((page) => page.noun === noun)
      .map((page) => ({
        key: page.menu!,
        icon: icons[page.menu!],
        label: (
          <Link to={paths[page.menu!](namespace)} onClick={onGo}>
            {t.nav[page.menu!]}
          </Link>
        ),
      }))
    if (entries.length === 0) return []
    return noun === 'overview'
      ? entries
      : [{ key: noun, type: 'group' as const, label: t.nouns[noun], children: entries }]
  })
  const here = pathname.split('/')[2] ?? ''
  return (
    <nav aria-label={t.nav.label} className="g-nav">
      <Menu mode="inline" selectedKeys={[here]} items={items} inlineIndent={16} />
    </nav>
  )
}

function NamespaceSwitch() {
  const t = useMessages(texts).shell
  const namespace = useNamespace()
  const navigate = useNavigate()
  const { pathname } = useLocation()
  const list = useQuery({
    queryKey: key('services', namespace, 'namespaces'),
    queryFn: ({ signal }) => instances.listNamespaces({}, { signal }),
    staleTime: 60_000,
  })
  const names = useMemo(
    () => [...new Set([namespace, ...(list.data?.namespaces ?? []).map((n) => n.name)])].sort(),
    [list.data, namespace],
  )
  return (
    <Select
      className="g-namespace"
      aria-label={t.namespace}
      value={namespace}
      showSearch
      popupMatchSelectWidth={false}
      options={names.map((name) => ({ value: name, label: name }))}
      // The same page elsewhere, but not the same thing: what one page is about may not be there.
      onChange={(next: string) => void navigate(`/${encodeURIComponent(next)}/${pathname.split('/')[2] ?? 'overview'}`)}
    />
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

export function Shell() {
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
    <Layout className="g-shell">
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
      <Layout className="g-body">
        <Layout.Sider
          className="g-sider"
          theme="light"
          width={208}
          collapsedWidth={56}
          collapsed={collapsed}
          trigger={null}
        >
          <Navigation />
          <Tooltip title={t.collapse} placement="right">
            <Button
              className="g-collapse"
              type="text"
              icon={collapsed ? <MenuUnfoldOutlined /> : <MenuFoldOutlined />}
              aria-label={t.collapse}
              onClick={() => setPreferences({ collapsed: !collapsed })}
            />
          </Tooltip>
        </Layout.Sider>
        <main id="content" tabIndex={-1} className="g-main">
          <LiveBanner />
          <ErrorBoundary key={pathname}>
            <Suspense fallback={<Loading />}>{refused ? <RefusedNamespace /> : <Outlet />}</Suspense>
          </ErrorBoundary>
        </main>
      </Layout>
      <Drawer
        placement="left"
        size={264}
        open={drawer}
        onClose={() => setDrawer(false)}
        title="Gantry"
        styles={{ body: { padding: 0 } }}
      >
        <Navigation onGo={() => setDrawer(false)} />
      </Drawer>
      {palette && (
        <Suspense>
          <Palette close={() => setPalette(false)} />
        </Suspense>
      )}
    </Layout>
  )
}
