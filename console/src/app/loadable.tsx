import { lazy, useEffect, useState, type ComponentType, type ReactNode } from 'react'

type Module<P> = { default: ComponentType<P> }

/**
 * A component whose code is loaded when it is first shown, or before that by `load`. With its code there it is shown at once: a placeholder, however short, is kept in
 * sight by React for 300 ms.
 */
export function loadable<P extends object>(
  get: () => Promise<Module<P>>,
): { Component: ComponentType<P>; load: () => Promise<Module<P>> } {
  let there: ComponentType<P> | undefined
  const load = async () => {
    const module = await get()
    there = module.default
    return module
  }
  // What lazy makes takes the same properties; its type only says so for known ones.
  const Later = lazy(load) as unknown as ComponentType<P>
  function Component(props: P) {
    // Chosen once for as long as it is mounted: with another type it would begin anew.
    const [Page] = useState(() => there ?? Later)
    return <Page {...props} />
  }
  return { Component, load }
}

/**
 * A part of a page whose code is loaded when what stands around it has been painted, so that this can be used sooner. Unlike a placeholder of React's, bones stand there
 * for no longer than it takes.
 */
export function afterPaint<P extends object>(get: () => Promise<Module<P>>, bones: ReactNode): ComponentType<P> {
  let there: ComponentType<P> | undefined
  return function AfterPaint(props: P) {
    const [Part, setPart] = useState(() => there)
    const [failure, setFailure] = useState<Error>()
    useEffect(() => {
      if (there) return
      get().then(({ default: component }) => {
        there = component
        setPart(() => component)
      }, setFailure)
    }, [])
    if (failure) throw failure
    return Part ? <Part {...props} /> : bones
  }
}
