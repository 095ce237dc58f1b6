import { lazy, useState, type ComponentType } from 'react'

type Module = { default: ComponentType }

/**
 * A component whose code is loaded when it is first shown, or before that by `load`. With its code there it is shown at once: a placeholder, however short, is kept in
 * sight by React for 300 ms.
 */
export function loadable(get: () => Promise<Module>): { Component: ComponentType; load: () => Promise<Module> } {
  let there: ComponentType | undefined
  const load = async () => {
    const module = await get()
    there = module.default
    return module
  }
  const Later = lazy(load)
  function Component() {
    // Chosen once for as long as it is mounted: with another type it would begin anew.
    const [Page] = useState(() => there ?? Later)
    return <Page />
  }
  return { Component, load }
}
