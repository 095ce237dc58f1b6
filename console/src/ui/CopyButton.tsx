import { CopyOutlined } from '@ant-design/icons'
import { Button, type ButtonProps } from 'antd'
import type { Ref } from 'react'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

/** The button of CopyAs, with its menu and without. */
export function CopyButton(props: ButtonProps & { ref?: Ref<HTMLButtonElement | HTMLAnchorElement> }) {
  const t = useMessages(texts).copy
  return (
    <Button icon={<CopyOutlined />} aria-haspopup="menu" {...props}>
      {t.as}
    </Button>
  )
}
