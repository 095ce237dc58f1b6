import {
  AlertOutlined,
  ApartmentOutlined,
  AppstoreOutlined,
  AuditOutlined,
  BugOutlined,
  ClusterOutlined,
  DashboardOutlined,
  FileTextOutlined,
  NodeIndexOutlined,
  TeamOutlined,
  ThunderboltOutlined,
} from '@ant-design/icons'
import type { ComponentType, ReactNode } from 'react'

// The table of pages: one line a page. What has an entry in the navigation names it by `menu`; a page of one thing (a service, a trace) has none, and lights up
// the entry that its path begins with. A page that is not built has no line, and so is nowhere offered.

export type Noun = 'overview' | 'instances' | 'releases' | 'signals' | 'administration'
export const nouns: readonly Noun[] = ['overview', 'instances', 'releases', 'signals', 'administration']

export type MenuEntry = keyof typeof icons

export const icons = {
  overview: <DashboardOutlined />,
  services: <AppstoreOutlined />,
  map: <ApartmentOutlined />,
  documents: <FileTextOutlined />,
  traces: <NodeIndexOutlined />,
  errors: <BugOutlined />,
  events: <ThunderboltOutlined />,
  alerts: <AlertOutlined />,
  audit: <AuditOutlined />,
  users: <TeamOutlined />,
  cluster: <ClusterOutlined />,
} satisfies Record<string, ReactNode>

export interface PageEntry {
  /** Below /:namespace/. */
  path: string
  noun: Noun
  menu?: MenuEntry
  load: () => Promise<{ default: ComponentType }>
}

export const pages: readonly PageEntry[] = [
  { path: 'overview', noun: 'overview', menu: 'overview', load: () => import('@/pages/overview') },
  { path: 'services', noun: 'instances', menu: 'services', load: () => import('@/pages/services') },
  { path: 'services/:service', noun: 'instances', load: () => import('@/pages/service') },
  { path: 'services/:service/instances/:instance', noun: 'instances', load: () => import('@/pages/instance') },
  { path: 'map', noun: 'instances', menu: 'map', load: () => import('@/pages/map') },
  { path: 'documents', noun: 'releases', menu: 'documents', load: () => import('@/pages/documents') },
  { path: 'documents/:kind/:name', noun: 'releases', load: () => import('@/pages/document') },
  { path: 'traces', noun: 'signals', menu: 'traces', load: () => import('@/pages/traces') },
  { path: 'traces/compare', noun: 'signals', load: () => import('@/pages/compare') },
  { path: 'traces/:trace', noun: 'signals', load: () => import('@/pages/trace') },
  { path: 'errors', noun: 'signals', menu: 'errors', load: () => import('@/pages/errors') },
  { path: 'events', noun: 'signals', menu: 'events', load: () => import('@/pages/events') },
  { path: 'alerts', noun: 'signals', menu: 'alerts', load: () => import('@/pages/alerts') },
  { path: 'alerts/:kind/:name', noun: 'signals', load: () => import('@/pages/alert') },
  { path: 'audit', noun: 'administration', menu: 'audit', load: () => import('@/pages/audit') },
  { path: 'users', noun: 'administration', menu: 'users', load: () => import('@/pages/users') },
  { path: 'cluster', noun: 'administration', menu: 'cluster', load: () => import('@/pages/cluster') },
]

// Made once: a table asks for a link in each of its rows, and the router would make a pattern of every page for every question.
const patterns = pages.map((page) => new RegExp(`^/[^/]+/${page.path.replace(/:\w+/g, '[^/]+')}/?$`))

/** The page at a path, which begins with the namespace. */
export function pageAt(path: string): PageEntry | undefined {
  const pathname = path.split('?')[0]!
  return pages[patterns.findIndex((pattern) => pattern.test(pathname))]
}
