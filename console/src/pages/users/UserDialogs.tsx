import { useQueryClient } from '@tanstack/react-query'
import { App, Form, Input, Modal } from 'antd'
import { useState } from 'react'
import { Role, type User } from '@/api/gen/gantry/v1/access_pb'
import { access } from '@/api/clients/access'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { Failure } from '@/ui/Failure'
import { useUndo } from '@/ui/Undo'
import { grantsOf, rowsOf, sameGrants, type Row } from './grants'
import { GrantEditor } from './Grants'
import { texts } from './messages'

/** Runs what a dialog is for: closes it when that went well, and keeps the error when not. */
function useRun(close: () => void) {
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)
  const run = async (work: () => Promise<void>) => {
    setBusy(true)
    setError(undefined)
    try {
      await work()
    } catch (failed) {
      setError(failed)
      setBusy(false)
      return
    }
    close()
  }
  return { error, busy, run }
}

/** Makes a user, or changes what one may do. */
export function UserDialog({ namespace, user, close }: { namespace: string; user?: User; close: () => void }) {
  const all = useMessages(texts)
  const t = all.users
  const client = useQueryClient()
  const { message } = App.useApp()
  const undo = useUndo()
  const [form] = Form.useForm<{ name: string; password: string }>()
  const before = rowsOf(user?.grants ?? [])
  const [rows, setRows] = useState<Row[]>(user ? before : [{ namespace, role: Role.VIEWER }])
  const { error, busy, run } = useRun(close)
  const refresh = () => client.invalidateQueries({ queryKey: key('access', namespace) })
  const replace = async (name: string, grants: Row[]) => {
    await access.updateUser({ name, grants: { grants } })
    await refresh()
  }
  const submit = ({ name, password }: { name: string; password: string }) =>
    run(async () => {
      if (user) {
        await replace(user.name, grantsOf(rows))
        undo(t.saved(user.name), () => replace(user.name, before))
        return
      }
      await access.createUser({ name: name.trim(), password, grants: grantsOf(rows) })
      void message.success(t.created_(name))
      await refresh()
    })
  return (
    <Modal
      open
      title={user ? t.editTitle(user.name) : t.new}
      okText={user ? t.save : t.create}
      cancelText={all.cancel}
      okButtonProps={{ loading: busy, disabled: user !== undefined && sameGrants(before, grantsOf(rows)) }}
      onOk={() => form.submit()}
      onCancel={close}
      width={560}
    >
      <Form form={form} layout="vertical" requiredMark={false} onFinish={(values) => void submit(values)}>
        {!user && (
          <>
            <Form.Item name="name" label={t.name} rules={[{ required: true, whitespace: true, message: t.nameRule }]}>
              <Input autoFocus autoComplete="off" />
            </Form.Item>
            <Form.Item
              name="password"
              label={t.passwordLabel}
              extra={t.passwordRule}
              rules={[{ required: true, min: 8, max: 256, message: t.passwordWrong }]}
            >
              <Input.Password autoComplete="new-password" />
            </Form.Item>
          </>
        )}
        <GrantEditor rows={rows} change={setRows} />
        {error !== undefined && <Failure error={error} compact />}
      </Form>
    </Modal>
  )
}

/** Sets the password of somebody else. */
export function PasswordDialog({ namespace, user, close }: { namespace: string; user: User; close: () => void }) {
  const all = useMessages(texts)
  const t = all.users
  const client = useQueryClient()
  const { message } = App.useApp()
  const [form] = Form.useForm<{ password: string }>()
  const { error, busy, run } = useRun(close)
  return (
    <Modal
      open
      title={t.passwordTitle(user.name)}
      okText={t.password}
      cancelText={all.cancel}
      okButtonProps={{ loading: busy }}
      onOk={() => form.submit()}
      onCancel={close}
    >
      <p className="g-secondary">{t.passwordWhat(user.name)}</p>
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        onFinish={({ password }) =>
          void run(async () => {
            await access.updateUser({ name: user.name, password })
            void message.success(t.passwordDone(user.name))
            await client.invalidateQueries({ queryKey: key('access', namespace) })
          })
        }
      >
        <Form.Item
          name="password"
          label={t.passwordLabel}
          extra={t.passwordRule}
          rules={[{ required: true, min: 8, max: 256, message: t.passwordWrong }]}
        >
          <Input.Password autoFocus autoComplete="new-password" />
        </Form.Item>
        {error !== undefined && <Failure error={error} compact />}
      </Form>
    </Modal>
  )
}

/** Changes one's own password, which ends this session too: the next call leads to the login. */
export function OwnPasswordDialog({ close }: { close: () => void }) {
  const all = useMessages(texts)
  const t = all.own
  const client = useQueryClient()
  const [form] = Form.useForm<{ old: string; next: string; again: string }>()
  const { error, busy, run } = useRun(close)
  return (
    <Modal
      open
      title={t.title}
      okText={t.submit}
      cancelText={all.cancel}
      okButtonProps={{ loading: busy }}
      onOk={() => form.submit()}
      onCancel={close}
    >
      <p className="g-secondary">{t.what}</p>
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        onFinish={({ old, next }) =>
          void run(async () => {
            await access.changePassword({ oldPassword: old, newPassword: next })
            await client.invalidateQueries()
          })
        }
      >
        <Form.Item name="old" label={t.old} rules={[{ required: true, message: t.old }]}>
          <Input.Password autoFocus autoComplete="current-password" />
        </Form.Item>
        <Form.Item
          name="next"
          label={t.new}
          extra={all.users.passwordRule}
          rules={[{ required: true, min: 8, max: 256, message: all.users.passwordWrong }]}
        >
          <Input.Password autoComplete="new-password" />
        </Form.Item>
        <Form.Item
          name="again"
          label={t.again}
          dependencies={['next']}
          rules={[
            ({ getFieldValue }) => ({
              validator: (_, value) =>
                value === getFieldValue('next') ? Promise.resolve() : Promise.reject(new Error(t.differs)),
            }),
          ]}
        >
          <Input.Password autoComplete="new-password" />
        </Form.Item>
        {error !== undefined && <Failure error={error} compact />}
      </Form>
    </Modal>
  )
}
