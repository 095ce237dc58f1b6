import type { ReactNode } from 'react'

/** What stands where a page would: why there is none, and what to do. */
export function Notice({ title, children, action }: { title: string; children?: ReactNode; action: ReactNode }) {
  return (
    <section className="g-notice">
      <h1>{title}</h1>
      {children && <p className="g-break">{children}</p>}
      {action}
    </section>
  )
}
