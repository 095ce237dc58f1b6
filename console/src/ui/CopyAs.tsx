import { CodeOutlined, LinkOutlined, CopyOutlined, ApiOutlined } from '@ant-design/icons'
import { App, Button, Dropdown } from 'antd'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

/** What does the same as a page: the command, and the call of the API. */
export interface Same {
  /** Words of the command behind "gantry"; empty ones are left out. */
  command?: readonly string[]
  /** A method such as "gantry.v1.InstanceService/ListServices" and its message as JSON, or a path of the HTTP API. */
  call?: { method: string; message: object } | { path: string; query: Record<string, string> }
}

/** Quotes a word for a shell when it must be. */
export function quote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

export function commandText(words: readonly string[]): string {
  return ['gantry', ...words.filter((word) => word !== '').map(quote)].join(' ')
}

/** The call by curl. The token is read from the environment: it is never written here. */
export function curlText(call: NonNullable<Same['call']>, origin: string, authenticationOff = false): string {
  const auth = authenticationOff ? [] : ['-H "Authorization: Bearer $GANTRY_TOKEN"']
  const parts =
    'method' in call
      ? [
          'curl -sS',
          ...auth,
          "-H 'Content-Type: application/json'",
          `-d ${quote(JSON.stringify(call.message))}`,
          quote(`${origin}/${call.method}`),
        ]
      : [
          'curl -sS -G',
          ...auth,
          ...Object.entries(call.query).map(([k, v]) => `--data-urlencode ${quote(`${k}=${v}`)}`),
          quote(origin + call.path),
        ]
  return parts.join(' \\\n  ')
}

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

export function CopyAs({ same, authenticationOff }: { same: Same; authenticationOff?: boolean }) {
  const t = useMessages(texts).copy
  const copy = useCopy()
  const items = [
    ...(same.command ? [{ key: 'command', icon: <CodeOutlined />, label: t.command }] : []),
    ...(same.call ? [{ key: 'curl', icon: <ApiOutlined />, label: t.curl }] : []),
    { key: 'link', icon: <LinkOutlined />, label: t.link },
  ]
  const take = (key: string) => {
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
