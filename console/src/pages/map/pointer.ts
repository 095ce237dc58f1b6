import { useSyncExternalStore } from 'react'

/** What is pointed at: a node or an edge. Kept beside the map, so that moving over it makes nothing anew but what shows it. */
export class Pointer {
  private id: string | undefined
  private readonly listeners = new Set<() => void>()

  readonly get = () => this.id
  readonly set = (id: string | undefined) => {
    if (id === this.id) return
    this.id = id
    this.listeners.forEach((tell) => tell())
  }
  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }
}

export const usePointed = (pointer: Pointer) => useSyncExternalStore(pointer.subscribe, pointer.get)
