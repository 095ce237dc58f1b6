import { useMessages } from '@/app/i18n'
import { StateTag } from '@/ui/StateTag'
import type { Unwell } from './graph'
import { texts } from './messages'

export function UnwellTag({ unwell }: { unwell: Unwell }) {
  const t = useMessages(texts).unwellWords
  return <StateTag state={unwell === 'failing' ? 'failed' : 'degraded'}>{t[unwell]}</StateTag>
}
