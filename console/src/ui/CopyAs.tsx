import { loadable } from '@/app/loadable'
import type { Same, SameNow } from './commands'
import { CopyButton } from './CopyButton'
import { OnPress } from './OnPress'

const menu = loadable(() => import('./CopyMenu'))

/** What does the same as the page elsewhere: a command, a call, a link. */
export function CopyAs(props: { same: Same | SameNow; authenticationOff: boolean }) {
  return (
    <OnPress load={menu.load} button={(press) => <CopyButton onClick={press} />}>
      <menu.Component {...props} />
    </OnPress>
  )
}
