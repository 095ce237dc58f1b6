import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Failure } from './Failure'
import { Loading } from './Loading'

/** What a query answered; bones before, and what went wrong beside what is known from earlier. */
export function Answer<T>({
  query,
  shape,
  count,
  children,
}: {
  query: UseQueryResult<T>
  shape?: 'rows' | 'chart' | 'cards'
  count?: number
  children: (data: T) => ReactNode
}) {
  const failed = query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : null
  if (query.data === undefined) return failed ?? <Loading shape={shape} count={count} />
  return (
    <>
      {failed}
      {children(query.data)}
    </>
  )
}
