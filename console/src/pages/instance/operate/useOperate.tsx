import { DownOutlined, MoreOutlined } from '@ant-design/icons'
import { Button, Dropdown, Tooltip, type MenuProps } from 'antd'
import { useCallback, useMemo, useState, type ReactNode } from 'react'
import { Role } from '@/api/gen/gantry/v1/access_pb'
import type { Instance } from '@/api/gen/gantry/v1/instance_pb'
import { useMessages } from '@/app/i18n'
import { useSession } from '@/app/session'
import { texts } from './messages'
import { OperateDialog, type Asked, type Whole } from './OperateDialog'
import { acts, type Act } from './override'
import './operate.css'

export type Ask = (act: Act, targets: readonly Instance[]) => void

/** Asks before something is done to instances, and does it. The dialog has to be put on the page. */
export function useOperate(whole: Whole): { ask: Ask; dialog: ReactNode; refused: string | undefined } {
  const t = useMessages(texts)
  const session = useSession()
  const [asked, setAsked] = useState<Asked>()
  const ask = useCallback<Ask>((act, targets) => targets.length > 0 && setAsked({ act, targets }), [])
  const close = useCallback(() => setAsked(undefined), [])
  return {
    ask,
    dialog: asked && <OperateDialog asked={asked} whole={whole} onClose={close} />,
    refused: session.can(Role.RELEASER, whole.namespace) ? undefined : t.needs('releaser', whole.namespace),
  }
}

/** The acts as a menu; one that would change nothing is not offered. */
export function ActsMenu({
  targets,
  of,
  ask,
  refused,
  small,
}: {
  targets: readonly Instance[]
  /** What the menu acts on, for those who hear the page. */
  of: string
  ask: Ask
  refused: string | undefined
  small?: boolean
}) {
  const t = useMessages(texts)
  const menu = useMemo<MenuProps>(
    () => ({
      items: acts.map((act) => ({
        key: act,
        label: t.menu[act],
        disabled: act === 'reset' && targets.every((target) => !target.override),
        title: act === 'reset' && targets.every((target) => !target.override) ? t.noOverride : undefined,
      })),
      onClick: ({ key }) => ask(key as Act, targets),
    }),
    [ask, targets, t],
  )
  const button = small ? (
    <Button type="text" size="small" icon={<MoreOutlined />} aria-label={t.actions(of)} disabled={!!refused} />
  ) : (
    <Button icon={<DownOutlined />} iconPlacement="end" aria-label={t.actions(of)} disabled={!!refused}>
      {t.act.drain} · {t.act.weight} …
    </Button>
  )
  return refused ? (
    <Tooltip title={refused}>
      <span>{button}</span>
    </Tooltip>
  ) : (
    <Dropdown trigger={['click']} menu={menu}>
      {button}
    </Dropdown>
  )
}

/** The acts as buttons. */
export function ActButtons({ targets, ask, refused }: { targets: readonly Instance[]; ask: Ask; refused?: string }) {
  const t = useMessages(texts)
  return (
    <>
      {acts.map((act) => {
        const nothing = act === 'reset' && targets.every((target) => !target.override)
        const why = refused ?? (nothing ? t.noOverride : undefined)
        const button = (
          <Button key={act} disabled={!!why || targets.length === 0} onClick={() => ask(act, targets)}>
            {t.act[act]}
          </Button>
        )
        return why ? (
          <Tooltip key={act} title={why}>
            <span>{button}</span>
          </Tooltip>
        ) : (
          button
        )
      })}
    </>
  )
}
