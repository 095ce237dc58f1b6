import { Button, Form, Input, InputNumber, Space, Tooltip } from 'antd'
import { useEffect, useMemo, useState } from 'react'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import type { ServiceSettings } from '@/api/gen/gantry/v1/instance_pb'
import { instances } from '@/api/clients/instances'
import { useMessages } from '@/app/i18n'
import { useSession } from '@/app/session'
import { ByCommand } from '@/ui/ByCommand'
import { useConfirm } from '@/ui/Confirm'
import { Panel } from '@/ui/Page'
import { useUndo } from '@/ui/Undo'
import { texts } from './messages'
import { formatMetadata, parseMetadata, sameSettings } from './metadata'
import type { ServiceName } from './useService'

interface Fields {
  threshold: number | null
  metadata: string
}

/** What an operator sets for the whole service. */
export function SettingsTab({ of, settings }: { of: ServiceName; settings: ServiceSettings | undefined }) {
  const t = useMessages(texts)
  const session = useSession()
  const confirm = useConfirm()
  const undo = useUndo()
  const [form] = Form.useForm<Fields>()
  const [touched, setTouched] = useState(false)
  const known = useMemo(() => fieldsOf(settings), [settings])
  // What others save meanwhile is shown, as long as nothing was typed here.
  useEffect(() => {
    if (!touched) form.setFieldsValue(known)
  }, [form, known, touched])
  const may = session.can(Role.RELEASER, of.namespace)
  const ref = { namespace: of.namespace, group: of.group, service: of.service }
  const store = async (fields: Fields) => {
    const read = parseMetadata(fields.metadata)
    await instances.configureService({
      service: ref,
      settings: {
        protectThreshold: fields.threshold === null ? undefined : fields.threshold / 100,
        metadata: 'metadata' in read ? read.metadata : {},
      },
    })
  }
  const save = (fields: Fields) => {
    const read = parseMetadata(fields.metadata)
    const entries = 'metadata' in read ? Object.keys(read.metadata).length : 0
    confirm({
      title: t.saveTitle(of.service),
      what: (
        <>
          <p>{t.saveWhat(fields.threshold === null ? t.thresholdDefault : `${fields.threshold}%`, entries)}</p>
          <ByCommand
            same={sameSettings(of, fields.threshold, 'metadata' in read ? read.metadata : {})}
            authenticationOff={session.authenticationOff}
          />
        </>
      ),
      undoable: true,
      action: t.save,
      run: async () => {
        await store(fields)
        setTouched(false)
        undo(t.saved(of.service), async () => {
          await store(known)
          form.setFieldsValue(known)
        })
      },
    })
  }
  return (
    <Panel title={t.tabs.settings}>
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        className="g-service-settings"
        disabled={!may}
        initialValues={known}
        onValuesChange={() => setTouched(true)}
        onFinish={save}
        preserve
      >
        <Form.Item name="threshold" label={t.threshold} extra={t.thresholdText}>
          <InputNumber min={0} max={100} suffix="%" placeholder="50" />
        </Form.Item>
        <Form.Item
          name="metadata"
          label={t.metadata}
          extra={t.metadataText}
          rules={[
            {
              validator: (_, value: string) => {
                const read = parseMetadata(value ?? '')
                return 'line' in read ? Promise.reject(new Error(t.metadataWrong(read.line))) : Promise.resolve()
              },
            },
          ]}
        >
          <Input.TextArea rows={8} className="g-mono" spellCheck={false} />
        </Form.Item>
        <Space>
          <Tooltip title={may ? undefined : t.needs(of.namespace)}>
            <Button type="primary" htmlType="submit" disabled={!may || !touched}>
              {t.save}
            </Button>
          </Tooltip>
          {touched && (
            <Button
              onClick={() => {
                form.setFieldsValue(known)
                setTouched(false)
              }}
            >
              {t.discard}
            </Button>
          )}
        </Space>
      </Form>
    </Panel>
  )
}

const fieldsOf = (settings: ServiceSettings | undefined): Fields => ({
  threshold: settings?.protectThreshold === undefined ? null : Number((settings.protectThreshold * 100).toPrecision(6)),
  metadata: formatMetadata(settings?.metadata ?? {}),
})
