import { PlusOutlined } from '@ant-design/icons'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { App, Button, Input, Segmented, Tooltip } from 'antd'
import { useMemo, useState } from 'react'
import { useSearchParams } from 'react-router'
import type { Token } from '@/api/gen/gantry/v1/access_pb'
import { access } from '@/api/clients/access'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { Answer } from '@/ui/Answer'
import { clear } from '@/ui/clear'
import { useConfirm } from '@/ui/Confirm'
import { Empty } from '@/ui/Empty'
import { dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { Ago } from '@/ui/Time'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { GrantTags } from './Grants'
import { texts } from './messages'
import { TokenDialog } from './TokenDialog'

const kinds = ['programs', 'logins'] as const

/** Tokens of programs, and logins of people. */
export function TokensTab({ namespace, may }: { namespace: string; may: boolean }) {
  const all = useMessages(texts)
  const t = all.tokens
  const [search, setSearch] = useSearchParams()
  const kind = search.get('kind') === 'logins' ? 'logins' : 'programs'
  const text = (search.get('q') ?? '').trim().toLowerCase()
  const [making, setMaking] = useState(false)
  const list = useQuery({
    queryKey: key('access', namespace, 'tokens'),
    queryFn: ({ signal }) => access.listTokens({}, { signal }),
  })
  const tokens = list.data?.tokens
  const shown = useMemo(
    () =>
      (tokens ?? []).filter(
        (token) =>
          (token.user !== '') === (kind === 'logins') &&
          [token.id, token.description, token.author, token.user].some((part) => part.toLowerCase().includes(text)),
      ),
    [tokens, kind, text],
  )
  const columns = useColumns(namespace, kind === 'logins')
  const logins = tokens?.filter((token) => token.user !== '').length ?? 0
  const set = (name: string, value: string, replace = false) =>
    setSearch(
      (old) => {
        const next = new URLSearchParams(old)
        if (value) next.set(name, value)
        else next.delete(name)
        return next
      },
      { replace },
    )
  return (
    <>
      <div className="g-toolbar">
        <Segmented
          aria-label={t.kind}
          value={kind}
          onChange={(value) => set('kind', value === 'programs' ? '' : value)}
          options={kinds.map((value) => ({
            value,
            label: value === 'programs' ? t.programs((tokens?.length ?? 0) - logins) : t.logins(logins),
          }))}
        />
        <Input
          className="g-users-search"
          allowClear={clear}
          aria-label={t.search}
          placeholder={t.search}
          value={search.get('q') ?? ''}
          onChange={(event) => set('q', event.target.value, true)}
        />
        <Tooltip title={may ? undefined : all.needsSomeAdmin}>
          <Button type="primary" icon={<PlusOutlined />} disabled={!may} onClick={() => setMaking(true)}>
            {t.new}
          </Button>
        </Tooltip>
      </div>
      <Panel title={t.list} className="g-panel-flush">
        <Answer query={list}>
          {() => (
            <VirtualTable
              label={t.list}
              rows={shown}
              columns={columns}
              rowKey={(token) => token.id}
              initialSort={{ key: 'created', descending: true }}
              empty={<Empty title={t.none}>{t.noneText}</Empty>}
            />
          )}
        </Answer>
      </Panel>
      {making && <TokenDialog namespace={namespace} close={() => setMaking(false)} />}
    </>
  )
}

const time = (token: Token) => dateOf(token.createdAt)?.getTime() ?? 0
const end = (token: Token) => dateOf(token.expiresAt)?.getTime() ?? Infinity

function useColumns(namespace: string, logins: boolean): Column<Token>[] {
  const t = useMessages(texts)
  return useMemo(
    () => [
      {
        key: 'description',
        title: logins ? t.users.name : t.tokens.description,
        width: '1.4fr',
        render: (token) => (
          <strong title={token.description}>{logins ? token.user : token.description || token.id}</strong>
        ),
        compare: (a, b) => (a.user || a.description).localeCompare(b.user || b.description),
      },
      { key: 'grants', title: t.grants, width: '1.6fr', render: (token) => <GrantTags grants={token.grants} /> },
      {
        key: 'author',
        title: t.tokens.author,
        width: '1fr',
        render: (token) => <span title={token.author}>{token.author}</span>,
      },
      {
        key: 'created',
        title: t.tokens.created,
        width: 112,
        render: (token) => <Ago at={dateOf(token.createdAt)} />,
        compare: (a, b) => time(a) - time(b),
      },
      {
        key: 'expires',
        title: t.tokens.expires,
        width: 112,
        render: (token) =>
          token.expiresAt ? (
            <Ago at={dateOf(token.expiresAt)} />
          ) : (
            <span className="g-secondary">{t.tokens.never}</span>
          ),
        compare: (a, b) => end(a) - end(b),
      },
      { key: 'id', title: t.tokens.id, width: 152, render: (token) => <code title={token.id}>{token.id}</code> },
      {
        key: 'revoke',
        title: '',
        width: 88,
        align: 'right',
        render: (token) => <Revoke namespace={namespace} token={token} />,
      },
    ],
    [namespace, logins, t],
  )
}

function Revoke({ namespace, token }: { namespace: string; token: Token }) {
  const t = useMessages(texts).tokens
  const { message } = App.useApp()
  const confirm = useConfirm()
  const client = useQueryClient()
  const what = token.user ? t.login(token.user) : token.description || token.id
  return (
    <Button
      size="small"
      danger
      aria-label={t.revokeThis(what)}
      onClick={() =>
        confirm({
          title: t.revokeTitle,
          what: t.revokeWhat(what),
          undoable: false,
          action: t.revoke,
          run: async () => {
            await access.revokeToken({ id: token.id })
            void message.success(t.revoked(token.id))
            await client.invalidateQueries({ queryKey: key('access', namespace) })
          },
        })
      }
    >
      {t.revoke}
    </Button>
  )
}
