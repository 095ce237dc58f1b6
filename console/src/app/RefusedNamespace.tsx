import { Button, Tooltip } from 'antd'
import { useQuery } from '@tanstack/react-query'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import { instances } from '@/api/clients/instances'
import { key } from '@/api/keys'
import { ByCommand } from '@/ui/ByCommand'
import type { Same } from '@/ui/commands'
import { useConfirm } from '@/ui/Confirm'
import { Empty } from '@/ui/Empty'
import { explain, isForbidden } from './errors'
import { useMessages } from './i18n'
import { useLive } from './live'
import { useNamespace } from './namespace'
import { PageLink } from './PageLink'
import { paths } from './paths'
import { texts } from './refusedMessages'
import { useSession } from './session'

/** In place of a page whose namespace is not there, or not for who looks: which it is, and what to do. */
export default function RefusedNamespace() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const session = useSession()
  const confirm = useConfirm()
  const { refusal, retry } = useLive()
  const forbidden = isForbidden(refusal)
  const list = useQuery({
    queryKey: key('services', namespace, 'namespaces'),
    queryFn: ({ signal }) => instances.listNamespaces({}, { signal }),
  })
  const names = (list.data?.namespaces ?? []).map((one) => one.name).filter((name) => name !== namespace)
  const mayCreate = session.can(Role.ADMIN, '*')
  const same: Same = {
    command: ['namespace', 'create', namespace],
    call: { method: 'gantry.v1.InstanceService/CreateNamespace', message: { namespace: { name: namespace } } },
  }
  const create = () =>
    confirm({
      title: t.createTitle(namespace),
      what: t.createWhat,
      undoable: true,
      action: t.createAction,
      run: async () => {
        await instances.createNamespace({ namespace: { name: namespace } })
        retry()
      },
    })
  return (
    <div className="g-page">
      <header className="g-page-head">
        <h1 className="g-break">{forbidden ? t.forbidden(namespace) : t.unknown(namespace)}</h1>
      </header>
      <section className="g-panel">
        <div className="g-panel-body g-refused">
          <p>{forbidden ? explain(refusal).hint : t.unknownText}</p>
          <h2>{t.others}</h2>
          {list.data && names.length === 0 && <Empty title={t.none} />}
          <ul>
            {names.map((name) => (
              <li key={name}>
                <PageLink to={paths.overview(name)}>{name}</PageLink>
              </li>
            ))}
          </ul>
          {!forbidden && (
            <>
              <Tooltip title={mayCreate ? '' : t.needs}>
                <Button disabled={!mayCreate} onClick={create}>
                  {t.create}
                </Button>
              </Tooltip>
              <p className="g-secondary">{t.command}</p>
              <ByCommand same={same} />
            </>
          )}
        </div>
      </section>
    </div>
  )
}
