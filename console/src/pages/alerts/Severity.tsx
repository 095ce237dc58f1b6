import { Tag } from 'antd'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

const colours: Record<string, string> = { critical: 'red', warning: 'gold' }

/** The severity by its word and a colour. What people named otherwise is shown as they named it. */
export function Severity({ of }: { of: string | undefined }) {
  const t = useMessages(texts).severity
  if (!of) return null
  const known = of === 'critical' || of === 'warning' || of === 'info'
  return (
    <Tag className="g-alerts-severity" color={colours[of]}>
      {known ? t[of] : of}
    </Tag>
  )
}
