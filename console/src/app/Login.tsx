import { Alert, Button, Form, Input } from 'antd'
import { useState } from 'react'
import { explain } from './errors'
import { useMessages } from './i18n'
import { login, LoginRefused } from './signIn'
import { texts } from './messages'
import { LanguageSwitch, ThemeSwitch } from './Switches'
import './login.css'

export default function Login({ done }: { done: () => Promise<void> }) {
  const t = useMessages(texts)
  const [error, setError] = useState<string>()
  const [busy, setBusy] = useState(false)
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
    <main className="g-login">
      <div className="g-login-box">
        <h1>
          <img src="/console/icon.svg" alt="" width={32} height={32} /> Gantry
        </h1>
        <p>{t.login.title}</p>
        <Form layout="vertical" requiredMark={false} onFinish={(values) => void submit(values)} disabled={busy}>
          <Form.Item name="user" label={t.login.user} rules={[{ required: true, message: t.login.userMissing }]}>
            <Input autoComplete="username" autoFocus maxLength={128} />
          </Form.Item>
          <Form.Item
            name="password"
            label={t.login.password}
            rules={[{ required: true, message: t.login.passwordMissing }]}
          >
            <Input.Password autoComplete="current-password" maxLength={256} />
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
    </main>
  )
}
