import { MoreOutlined } from '@ant-design/icons'
import { Button, Dropdown, Tooltip, type MenuProps } from 'antd'
import { useCallback, useState, type ReactNode } from 'react'
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

/**
 * The acts on one instance as a menu; one that would change nothing is not offered. A table has it in every row, so the menu itself is made when it is first
 * asked for.
 */
export function ActsMenu({ target, ask, refused }: { target: Instance; ask: Ask; refused: string | undefined }) {
  const t = useMessages(texts)
  const [open, setOpen] = useState<boolean>()
  const button = (
    <button
      type="button"
      className="g-operate-more"
      aria-label={t.actions(target.id)}
      aria-haspopup="menu"
      disabled={!!refused}
      title={refused}
      onClick={open === undefined ? () => setOpen(true) : undefined}
    >
      <MoreOutlined aria-hidden />
    </button>
  )
  if (open === undefined || refused) return button
  const menu: MenuProps = {
    items: acts.map((act) => {
      const nothing = act === 'reset' && !target.override
      return { key: act, label: t.menu[act], disabled: nothing, title: nothing ? t.noOverride : undefined }
    }),
    onClick: ({ key }) => ask(key as Act, [target]),
  }
  return (
    <Dropdown trigger={['click']} menu={menu} open={open} onOpenChange={setOpen} autoFocus>
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
