import { Breadcrumb } from 'antd'
import { useEffect, type ReactNode } from 'react'
import { PageLink } from '@/app/PageLink'
import { SavedViews } from '@/app/SavedViews'
import { useSession } from '@/app/session'
import type { Same, SameNow } from './commands'
import { CopyAs } from './CopyAs'

export interface Crumb {
  title: string
  to?: string
}

/** The frame of a page: where one is, its title, what one can do, and what does the same elsewhere. */
export function Page({
  title,
  tag,
  crumbs,
  actions,
  same,
  views,
  children,
}: {
  title: string
  /** Beside the title: a StateTag, for instance. */
  tag?: ReactNode
  crumbs?: readonly Crumb[]
  actions?: ReactNode
  same: Same | SameNow
  /** Name of the page for its saved views; pages without filters have none. */
  views?: string
  children: ReactNode
}) {
  const { authenticationOff } = useSession()
  useEffect(() => {
    document.title = `${title} · Gantry`
  }, [title])
  return (
    <div className="g-page">
      <header className="g-page-head">
        <div className="g-page-title">
          {crumbs && crumbs.length > 0 && (
            <Breadcrumb
              items={crumbs.map((crumb) => ({
                title: (
                  <span title={crumb.title}>
                    {crumb.to ? <PageLink to={crumb.to}>{crumb.title}</PageLink> : crumb.title}
                  </span>
                ),
              }))}
            />
          )}
          <h1>
            <span className="g-break g-title-text" title={title}>
              {title}
            </span>
            {tag}
          </h1>
        </div>
        <div className="g-page-actions">
          {actions}
          {views && <SavedViews page={views} />}
          <CopyAs same={same} authenticationOff={authenticationOff} />
        </div>
      </header>
      {children}
    </div>
  )
}

/** A part of a page with a heading. */
export function Panel({
  title,
  extra,
  children,
  className,
}: {
  title: string
  extra?: ReactNode
  children: ReactNode
  className?: string
}) {
  return (
    <section className={`g-panel ${className ?? ''}`} aria-label={title}>
      <div className="g-panel-head">
        <h2>{title}</h2>
        {extra}
      </div>
      <div className="g-panel-body">{children}</div>
    </section>
  )
}
