import type { ReactNode } from 'react'
import { Failure } from './Failure'
import { Loading } from './Loading'

/** What is needed of a query: of an infinite one too. */
interface Query<T> {
  data: T | undefined
  error: Error | null
  refetch: () => Promise<unknown>
}

/** What a query answered; bones before, and what went wrong beside what is known from earlier. */
export function Answer<T>({
  query,
  shape,
  count,
  children,
}: {
  query: Query<T>
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
