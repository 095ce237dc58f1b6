import { AutoComplete, Input, Modal, Select } from 'antd'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { useNavigate } from 'react-router'
import { releases } from '@/api/clients/releases'
import { useMessages } from '@/app/i18n'
import { paths, withQuery } from '@/app/paths'
import { formats as allFormats } from '../document/EditPanel'
import { formatOfName } from '../document/reference'
import { texts } from './messages'

/** Asks for kind, name and format; what is written then is published from the document's page. */
export function CreateDialog({
  namespace,
  kinds,
  close,
}: {
  namespace: string
  kinds: readonly string[]
  close: () => void
}) {
  const t = useMessages(texts).createDialog
  const navigate = useNavigate()
  const [kind, setKind] = useState('Config')
  const [name, setName] = useState('')
  const [format, setFormat] = useState<string>()
  const known = useQuery({
    queryKey: ['kinds'],
    queryFn: ({ signal }) => releases.listKinds({}, { signal }),
    staleTime: Infinity,
    retry: false,
  })
  const kindNames = known.data?.kinds.map((one) => one.name) ?? [...new Set(['Config', 'Schema', ...kinds])]
  const formats =
    known.data?.kinds.find((one) => one.name === kind)?.formats ?? (kind === 'Config' ? [...allFormats] : ['yaml'])
  const guessed = kind === 'Config' ? formatOfName(name) : (formats[0] ?? 'yaml')
  const chosen =
    format && formats.includes(format) ? format : formats.includes(guessed) ? guessed : (formats[0] ?? 'yaml')
  const create = () => {
    if (!name.trim() || !kind.trim()) return
    close()
    void navigate(withQuery(paths.document(namespace, kind.trim(), name.trim()), { new: '1', format: chosen }))
  }
  return (
    <Modal
      open
      title={t.title(namespace)}
      okText={t.write}
      cancelText={t.cancel}
      okButtonProps={{ disabled: !name.trim() || !kind.trim() }}
      onOk={create}
      onCancel={close}
    >
      <div className="g-documents-form">
        <label>
          {t.kind}
          <AutoComplete
            aria-label={t.kind}
            value={kind}
            options={kindNames.map((value) => ({ value }))}
            onChange={(value: string) => setKind(value)}
          />
        </label>
        <label>
          {t.name}
          <Input
            autoFocus
            value={name}
            maxLength={512}
            placeholder={t.nameHint}
            onChange={(event) => setName(event.target.value)}
            onPressEnter={create}
          />
        </label>
        <label>
          {t.format}
          <Select
            aria-label={t.format}
            value={chosen}
            options={formats.map((value) => ({ value, label: value }))}
            onChange={setFormat}
          />
        </label>
      </div>
    </Modal>
  )
}
