import { useMessages } from '@/app/i18n'
import { texts } from './messages'

/** The severity by its word and a colour. What people named otherwise is shown as they named it. */
export function Severity({ of }: { of: string | undefined }) {
  const t = useMessages(texts).severity
  if (!of) return null
  const known = of === 'critical' || of === 'warning' || of === 'info'
  return <span className={`g-alerts-severity g-alerts-${known ? of : 'info'}`}>{known ? t[of] : of}</span>
}
