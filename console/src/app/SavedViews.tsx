import { StarOutlined } from '@ant-design/icons'
import { Button } from 'antd'
import { OnPress } from '@/ui/OnPress'
import { useMessages } from './i18n'
import { loadable } from './loadable'
import { texts } from './messages'

const panel = loadable(() => import('./SavedViewsPanel'))

/** Filters of a page that somebody gave a name. */
export function SavedViews({ page }: { page: string }) {
  const t = useMessages(texts).views
  const button = (press?: () => void) => (
    <Button icon={<StarOutlined />} aria-label={t.label} title={t.label} autoFocus={!press} onClick={press} />
  )
  return (
    <OnPress load={panel.load} button={button}>
      <panel.Component page={page}>{button()}</panel.Component>
    </OnPress>
  )
}
