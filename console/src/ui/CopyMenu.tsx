import { ApiOutlined, CodeOutlined, LinkOutlined } from '@ant-design/icons'
import { Dropdown } from 'antd'
import { useRef, useState } from 'react'
import { useMessages } from '@/app/i18n'
import { commandText, curlText, type Same, type SameNow } from './commands'
import { CopyButton } from './CopyButton'
import { texts } from './messages'
import { useCopy } from './useCopy'

/** CopyAs with its menu, which is open when it comes. */
export default function CopyMenu({
  same: given,
  authenticationOff,
}: {
  same: Same | SameNow
  authenticationOff: boolean
}) {
  const t = useMessages(texts).copy
  const copy = useCopy()
  const [open, setOpen] = useState(true)
  const button = useRef<HTMLButtonElement | HTMLAnchorElement>(null)
  const close = () => {
    // The library gives the focus back only when it hears of the key before what closes the menu does. Not at once: the key that chose would press the button.
    if (document.activeElement?.closest('[role="menu"]')) requestAnimationFrame(() => button.current?.focus())
    setOpen(false)
  }
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
    <Dropdown
      trigger={['click']}
      open={open}
      onOpenChange={(next) => (next ? setOpen(true) : close())}
      autoFocus
      menu={{
        items,
        onClick: ({ key }) => {
          close()
          void copy(take(key))
        },
      }}
    >
      <CopyButton ref={button} autoFocus />
    </Dropdown>
  )
}
