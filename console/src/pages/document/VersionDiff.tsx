import { Alert, Button, Segmented } from 'antd'
import { useState } from 'react'
import { useMessages } from '@/app/i18n'
import { Diff } from '@/ui/Diff'
import { Failure } from '@/ui/Failure'
import { Loading } from '@/ui/Loading'
import { texts } from './messages'
import { useVersion } from './queries'
import { textOf, type Reference } from './reference'

export type Layout = 'split' | 'unified'

export function LayoutSwitch({ layout, set }: { layout: Layout; set: (layout: Layout) => void }) {
  const t = useMessages(texts).diff
  return (
    <Segmented<Layout>
      aria-label={t.layout}
      size="small"
      value={layout}
      onChange={set}
      options={[
        { value: 'split', label: t.split },
        { value: 'unified', label: t.unified },
      ]}
    />
  )
}

/** How two versions differ; 0 is nothing at all. What is sensitive is fetched only when somebody asks to see it. */
export function VersionDiff({
  reference,
  from,
  to,
  sensitive,
  layout,
}: {
  reference: Reference
  from: bigint
  to: bigint
  sensitive: boolean
  layout?: Layout
}) {
  const t = useMessages(texts)
  const [shown, setShown] = useState(!sensitive)
  const before = useVersion(reference, from, shown)
  const after = useVersion(reference, to, shown)
  if (!shown)
    return (
      <Alert
        type="info"
        showIcon
        title={t.secret.hiddenDiff}
        action={
          <Button size="small" onClick={() => setShown(true)}>
            {t.secret.show}
          </Button>
        }
      />
    )
  const error = before.error ?? after.error
  if (error) return <Failure error={error} />
  if ((from > 0n && !before.data) || (to > 0n && !after.data)) return <Loading count={4} />
  if (before.data?.version?.withheld || after.data?.version?.withheld)
    return <Alert type="warning" showIcon title={t.secret.withheld} description={t.secret.withheldText} />
  const a = from > 0n ? textOf(before.data!.version!.content) : ''
  const b = to > 0n ? textOf(after.data!.version!.content) : ''
  if (a === undefined || b === undefined) return <Alert type="info" showIcon title={t.diff.binary} />
  return (
    <Diff
      before={a}
      after={b}
      format={(after.data ?? before.data)?.version?.format ?? 'text'}
      beforeName={from > 0n ? t.version(String(from)) : t.nothing}
      afterName={to > 0n ? t.version(String(to)) : t.nothing}
      layout={layout}
    />
  )
}
