import { CopyOutlined } from '@ant-design/icons'
import { useQueryClient } from '@tanstack/react-query'
import { Alert, Button, Form, Input, Modal, Select } from 'antd'
import { useState } from 'react'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { access } from '@/api/clients/access'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { useCopy } from '@/ui/useCopy'
import { Failure } from '@/ui/Failure'
import { grantsOf, type Row } from './grants'
import { GrantEditor } from './Grants'
import { texts } from './messages'

const day = 86_400
const lifetimes = [0, 1, 7, 30, 90, 365] as const

/** Makes a token, then shows its secret: once, and kept nowhere but in this dialog. */
export function TokenDialog({ namespace, close }: { namespace: string; close: () => void }) {
  const all = useMessages(texts)
  const t = all.tokens
  const client = useQueryClient()
  const [form] = Form.useForm<{ description: string; days: number }>()
  const [rows, setRows] = useState<Row[]>([{ namespace, role: Role.SERVICE }])
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)
  const [secret, setSecret] = useState('')
  const submit = async ({ description, days }: { description: string; days: number }) => {
    setBusy(true)
    setError(undefined)
    try {
      const made = await access.createToken({
        description: description.trim(),
        grants: grantsOf(rows),
        lifetime: days > 0 ? { seconds: BigInt(days * day) } : undefined,
      })
      setSecret(made.secret)
      void client.invalidateQueries({ queryKey: key('access', namespace) })
    } catch (failed) {
      setError(failed)
    } finally {
      setBusy(false)
    }
  }
  if (secret) return <Secret secret={secret} close={close} />
  return (
    <Modal
      open
      title={t.new}
      okText={t.create}
      cancelText={all.cancel}
      okButtonProps={{ loading: busy, disabled: grantsOf(rows).length === 0 }}
      onOk={() => form.submit()}
      onCancel={close}
      width={560}
    >
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        initialValues={{ description: '', days: 0 }}
        onFinish={(values) => void submit(values)}
      >
        <Form.Item
          name="description"
          label={t.description}
          rules={[{ required: true, whitespace: true, message: t.descriptionRule }]}
        >
          <Input autoFocus maxLength={256} />
        </Form.Item>
        <GrantEditor rows={rows} change={setRows} />
        <Form.Item name="days" label={t.lifetime} className="g-users-lifetime">
          <Select
            options={lifetimes.map((value) => ({
              value,
              label: value === 0 ? t.forever : value === 365 ? t.year : t.days(value),
            }))}
          />
        </Form.Item>
        {error !== undefined && <Failure error={error} compact />}
      </Form>
    </Modal>
  )
}

function Secret({ secret, close }: { secret: string; close: () => void }) {
  const t = useMessages(texts).tokens
  const copy = useCopy()
  return (
    <Modal
      open
      title={t.secretTitle}
      // Only by its button: a click beside it must not lose the secret.
      mask={{ closable: false }}
      keyboard={false}
      closable={false}
      footer={
        <Button type="primary" onClick={close}>
          {t.done}
        </Button>
      }
    >
      <Alert type="warning" showIcon title={t.secretWhat} />
      <div className="g-users-secret">
        <Input
          className="g-mono"
          aria-label={t.secret}
          readOnly
          value={secret}
          onFocus={(event) => event.target.select()}
        />
        <Button icon={<CopyOutlined />} onClick={() => void copy(secret)}>
          {t.copy}
        </Button>
      </div>
    </Modal>
  )
}
