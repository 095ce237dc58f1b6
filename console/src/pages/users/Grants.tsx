import { DeleteOutlined, PlusOutlined } from '@ant-design/icons'
import { useQuery } from '@tanstack/react-query'
import { AutoComplete, Button, Select, Tooltip } from 'antd'
import { Role, type Grant } from '@/api/gen/gantry/v1/access_pb'
import { instances } from '@/api/clients/instances'
import { useMessages } from '@/app/i18n'
import { roles, roleWords, strongestFirst, type Row } from './grants'
import { texts } from './messages'

/** What somebody may do, in short. */
export function GrantTags({ grants }: { grants: readonly Pick<Grant, 'namespace' | 'role'>[] }) {
  const t = useMessages(texts)
  if (grants.length === 0) return <span className="g-secondary">{t.noGrants}</span>
  const said = (grant: Pick<Grant, 'namespace' | 'role'>) =>
    `${roleWords[grant.role]} · ${grant.namespace === '*' ? t.everywhere : grant.namespace}`
  const shown = strongestFirst(grants)
  return (
    <span title={shown.map(said).join('\n')}>
      {shown.map((grant, i) => (
        <span key={i} className={`g-users-grant${grant.role === Role.ADMIN ? ' g-users-admin' : ''}`}>
          {said(grant)}
        </span>
      ))}
    </span>
  )
}

const namespacesKey = ['namespaces'] as const

/** Rows of a namespace and a role. */
export function GrantEditor({ rows, change }: { rows: readonly Row[]; change: (rows: Row[]) => void }) {
  const t = useMessages(texts)
  const namespaces = useQuery({
    queryKey: namespacesKey,
    queryFn: ({ signal }) => instances.listNamespaces({}, { signal }),
    staleTime: 60_000,
  })
  const names = ['*', ...(namespaces.data?.namespaces.map((one) => one.name) ?? [])]
  const set = (i: number, part: Partial<Row>) => change(rows.map((row, j) => (j === i ? { ...row, ...part } : row)))
  return (
    <fieldset className="g-users-grants">
      <legend>{t.grants}</legend>
      {rows.map((row, i) => (
        <div key={i}>
          <div className="g-users-row">
            <AutoComplete
              aria-label={`${t.namespace} ${i + 1}`}
              placeholder={t.namespaceHint}
              value={row.namespace}
              onChange={(namespace: string) => set(i, { namespace })}
              options={names.map((value) => ({ value, label: value === '*' ? `* (${t.everywhere})` : value }))}
            />
            <Select
              aria-label={`${t.roleLabel} ${i + 1}`}
              value={row.role}
              onChange={(role) => set(i, { role })}
              options={roles.map((value) => ({ value, label: t.role[roleWords[value]] }))}
            />
            <Tooltip title={t.removeGrant}>
              <Button
                icon={<DeleteOutlined />}
                aria-label={`${t.removeGrant} ${i + 1}`}
                onClick={() => change(rows.filter((_, j) => j !== i))}
              />
            </Tooltip>
          </div>
          <p className="g-secondary">{sentence(t.may, row.role)}</p>
        </div>
      ))}
      <Button
        size="small"
        icon={<PlusOutlined />}
        onClick={() => change([...rows, { namespace: rows.length === 0 ? 'default' : '', role: Role.VIEWER }])}
      >
        {t.addGrant}
      </Button>
    </fieldset>
  )
}

const sentence = (may: Record<string, string>, role: Role) => may[roleWords[role]] ?? ''

/** What each role may do, in words. */
export function RolesTab() {
  const t = useMessages(texts)
  return (
    <section className="g-panel" aria-label={t.tabs.roles}>
      <dl className="g-users-roles">
        {roles.map((role) => (
          <div key={role}>
            <dt>{t.role[roleWords[role]]}</dt>
            <dd>{sentence(t.may, role)}</dd>
          </div>
        ))}
      </dl>
      <p className="g-secondary g-users-note">{t.rolesText}</p>
    </section>
  )
}
