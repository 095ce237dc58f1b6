import type { ReactNode } from 'react'
import { Link } from 'react-router'
import { pageAt } from './pages'

/** Whether the table of pages has one at this path. */
export const isPage = (to: string): boolean => pageAt(to) !== undefined

/** A link to a page of the console; plain text where that page is not built: nothing leads nowhere. */
export function PageLink({ to, children, className }: { to: string; children: ReactNode; className?: string }) {
  if (!isPage(to)) return <span className={className}>{children}</span>
  return (
    <Link to={to} className={className}>
      {children}
    </Link>
  )
}
