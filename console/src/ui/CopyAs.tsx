import { CodeOutlined, LinkOutlined, CopyOutlined, ApiOutlined } from '@ant-design/icons'
import { App, Button, Dropdown } from 'antd'
import { useMessages } from '@/app/i18n'
import { commandText, curlText, type Same, type SameNow } from './commands'
import { texts } from './messages'

export function useCopy() {
  const { message, modal } = App.useApp()
  const t = useMessages(texts).copy
  return async (text: string) => {
    try {
      await navigator.clipboard.writeText(text)
      void message.success(t.copied)
    } catch {
      // Without TLS browsers have no clipboard but for localhost.
      modal.info({ title: t.refused, content: <pre className="g-pre">{text}</pre>, width: 640 })
    }
  }
}

export function CopyAs({ same: given, authenticationOff }: { same: Same | SameNow; authenticationOff?: boolean }) {
  const t = useMessages(texts).copy
  const copy = useCopy()
  const now = () => (typeof given === 'function' ? given() : given)
  const same = now()
  const items = [
    ...(same.command ? [{ key: 'command', icon: <CodeOutlined aria-hidden />, label: t.command }] : []),
    ...(same.call ? [{ key: 'curl', icon: <ApiOutlined aria-hidden />, label: t.curl }] : []),
    { key: 'link', icon: <LinkOutlined aria-hidden />, label: t.link },
  ]
  const take = (key: string) => {
    const same = now()
    if (key === 'command' && same.command) return commandText(same.command)
    if (key === 'curl' && same.call) return curlText(same.call, location.origin, authenticationOff)
    return location.href
  }
  return (
    <Dropdown trigger={['click']} menu={{ items, onClick: ({ key }) => void copy(take(key)) }}>
      <Button icon={<CopyOutlined />}>{t.as}</Button>
    </Dropdown>
  )
}
