import { Drawer } from 'antd'
import { useState } from 'react'
import { Navigation } from './Navigation'

/** The way to other pages where there is no room for it beside them. */
export default function NavigationDrawer({ close }: { close: () => void }) {
  const [open, setOpen] = useState(true)
  return (
    <Drawer
      placement="left"
      size={264}
      open={open}
      onClose={() => setOpen(false)}
      afterOpenChange={(now) => now || close()}
      title="Gantry"
      styles={{ body: { padding: 0 } }}
    >
      <Navigation onGo={() => setOpen(false)} />
    </Drawer>
  )
}
