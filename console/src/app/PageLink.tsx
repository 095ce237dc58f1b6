import type { ReactNode } from 'react'
import { Link, matchPath } from 'react-router'
import { pages } from './pages'

/** Whether the table of pages has one at this path. */
export function isPage(to: string): boolean {
  const pathname = to.split('?')[0]!
  return pages.some((page) => matchPath({ path: `/:namespace/${page.path}`, end: true }, pathname) !== null)
}

/** A link to a page of the console; plain text where that page is not built: nothing leads nowhere. */
export function PageLink({ to, children, className }: { to: string; children: ReactNode; className?: string }) {
  if (!isPage(to)) return <span className={className}>{children}</span>
  return (
    <Link to={to} className={className}>
      {children}
    </Link>
  )
}
