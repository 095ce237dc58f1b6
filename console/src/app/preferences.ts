import { useSyncExternalStore } from 'react'

// What a person set in this browser. Kept in local storage; nothing here is a secret.

export type Language = 'en' | 'zh'
export type ThemeChoice = 'light' | 'dark' | 'system'

export interface Preferences {
  language: Language
  theme: ThemeChoice
  namespace: string
  collapsed: boolean
}

const key = 'gantry.preferences'
const listeners = new Set<() => void>()

function initial(): Preferences {
  const base: Preferences = {
    language: globalThis.navigator?.language?.toLowerCase().startsWith('zh') ? 'zh' : 'en',
    theme: 'system',
    namespace: 'default',
    collapsed: false,
  }
  try {
    const kept: unknown = JSON.parse(globalThis.localStorage?.getItem(key) ?? '{}')
    if (typeof kept !== 'object' || kept === null) return base
    const k = kept as Record<string, unknown>
    if (k['language'] === 'en' || k['language'] === 'zh') base.language = k['language']
    if (k['theme'] === 'light' || k['theme'] === 'dark' || k['theme'] === 'system') base.theme = k['theme']
    if (typeof k['namespace'] === 'string' && k['namespace']) base.namespace = k['namespace']
    if (typeof k['collapsed'] === 'boolean') base.collapsed = k['collapsed']
  } catch {
    // Storage that is off or holds something else: the defaults do.
  }
  return base
}

let current = initial()

export const preferences = (): Preferences => current

export function setPreferences(change: Partial<Preferences>) {
  current = { ...current, ...change }
  try {
    localStorage.setItem(key, JSON.stringify(current))
  } catch {
    // They last as long as the tab, then.
  }
  listeners.forEach((tell) => tell())
}

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

export const usePreferences = (): Preferences => useSyncExternalStore(subscribe, preferences)
