import { Empty as AntEmpty } from 'antd'
import type { ReactNode } from 'react'

/** Nothing to show: says what would be here, and how it gets here. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <AntEmpty
      className="g-empty"
      image={AntEmpty.PRESENTED_IMAGE_SIMPLE}
      description={
        <>
          <strong>{title}</strong>
          {children && <div className="g-secondary">{children}</div>}
        </>
      }
    />
  )
}
