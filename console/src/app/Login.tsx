import { Alert, Button, Form, Input } from 'antd'
import { useEffect, useRef, useState, type ReactNode } from 'react'
import { explain } from './errors'
import { useMessages } from './i18n'
import { login, LoginRefused } from './signIn'
import { texts } from './messages'
import { LanguageSwitch, ThemeSwitch } from './Switches'
import './login.css'

/** Asks who it is. Over a page whose session ended: over is who looked at it. */
export default function Login({ over, done }: { over?: string; done: () => Promise<void> }) {
  const t = useMessages(texts)
  const [error, setError] = useState<string>()
  const [busy, setBusy] = useState(false)
  const known = over?.startsWith('user:') ? over.slice('user:'.length) : undefined
  const submit = async (values: { user: string; password: string }) => {
    setBusy(true)
    setError(undefined)
    try {
      await login(values.user, values.password)
      await done()
    } catch (problem) {
      setError(
        problem instanceof LoginRefused && problem.status === 401
          ? t.login.refused
          : explain(problem).message || t.login.failed,
      )
    } finally {
      setBusy(false)
    }
  }
  return (
    <Frame over={over !== undefined}>
      <div className="g-login-box">
        <h1>
          <img src="/console/icon.svg" alt="" width={32} height={32} /> Gantry
        </h1>
        <p>{over === undefined ? t.login.title : t.login.over}</p>
        <Form
          layout="vertical"
          requiredMark={false}
          initialValues={{ user: known }}
          onFinish={(values) => void submit(values)}
          disabled={busy}
        >
          <Form.Item name="user" label={t.login.user} rules={[{ required: true, message: t.login.userMissing }]}>
            <Input autoComplete="username" autoFocus={!known} maxLength={128} />
          </Form.Item>
          <Form.Item
            name="password"
            label={t.login.password}
            rules={[{ required: true, message: t.login.passwordMissing }]}
          >
            <Input.Password autoComplete="current-password" autoFocus={known !== undefined} maxLength={256} />
          </Form.Item>
          {error && <Alert type="error" showIcon title={error} role="alert" style={{ marginBottom: 16 }} />}
          <Button type="primary" htmlType="submit" block loading={busy}>
            {t.login.submit}
          </Button>
        </Form>
        <div className="g-login-switches">
          <LanguageSwitch />
          <ThemeSwitch />
        </div>
      </div>
    </Frame>
  )
}

/** A page of its own; or over one, which stays below, out of reach of mouse, keys and screen readers, however many dialogs it has open. */
function Frame({ over, children }: { over: boolean; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const t = useMessages(texts).login
  useEffect(() => {
    const shown = dialog.current
    if (!shown) return
    shown.showModal()
    const keep = (event: KeyboardEvent) => {
      // Escape would close it at the second time, and the dialogs below; Ctrl K opens the palette there.
      if (event.key === 'Escape') event.preventDefault()
      if (event.key === 'Escape' || event.ctrlKey || event.metaKey) event.stopPropagation()
    }
    addEventListener('keydown', keep, true)
    return () => {
      removeEventListener('keydown', keep, true)
      shown.close()
    }
  }, [])
  if (!over) return <main className="g-login">{children}</main>
  return (
    <dialog ref={dialog} className="g-login" aria-label={t.submit} onCancel={(event) => event.preventDefault()}>
      {children}
    </dialog>
  )
}
