import { SearchOutlined } from '@ant-design/icons'
import { Alert, Input } from 'antd'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useNavigate, useSearchParams } from 'react-router'
import { useMessages } from '@/app/i18n'
import { traceId } from '@/app/matching'
import { paths } from '@/app/paths'
import { Failure } from '@/ui/Failure'
import { pair, read, write } from './conditions'
import { candidates, lookup, type KnownKey } from './lookup'
import { texts } from './messages'

/** One box for who has a trace's id, or a number of the business and nothing else. */
export function FindBox({ namespace, keys }: { namespace: string; keys: () => Promise<KnownKey[]> }) {
  const t = useMessages(texts).find
  const navigate = useNavigate()
  const [, setSearch] = useSearchParams()
  const [typed, setTyped] = useState('')
  const addAttribute = (key: string, value: string, from?: string) =>
    setSearch((old) => {
      const before = read(old)
      const attributes = [...before.attributes.filter(([k]) => k !== key), [key, value] as [string, string]]
      const next = write(old, { ...before, attributes })
      if (from) {
        next.set('from', from)
        next.set('to', 'now')
      }
      return next
    })
  const find = useMutation({
    mutationFn: async (value: string) => {
      const known = candidates(await keys(), value)
      return { value, known, found: await lookup(namespace, value, known) }
    },
    onSuccess: ({ value, found }) => {
      if (!found) return
      if (found.traceIds.length === 1 || found.event) void navigate(paths.trace(namespace, found.traceIds[0]!))
      else {
        setTyped('')
        addAttribute(found.key, value, '-7d')
      }
    },
  })
  const go = (text: string) => {
    const value = text.trim()
    if (!value) return
    const id = traceId(value)
    const condition = pair(value)?.[0]
    if (id) void navigate(paths.trace(namespace, id))
    else if (condition) {
      setTyped('')
      addAttribute(...condition)
    } else find.mutate(value)
  }
  return (
    <search className="g-traces-find">
      <Input.Search
        size="large"
        value={typed}
        maxLength={300}
        prefix={<SearchOutlined className="g-secondary" />}
        placeholder={t.placeholder}
        aria-label={t.label}
        enterButton={t.button}
        loading={find.isPending}
        onChange={(event) => {
          setTyped(event.target.value)
          if (!find.isPending) find.reset()
        }}
        onSearch={go}
      />
      {find.error && <Failure error={find.error} compact />}
      {find.data && !find.data.found && (
        <Alert role="status" type="info" showIcon title={t.nothing(find.data.value, find.data.known.join(', '))} />
      )}
    </search>
  )
}
