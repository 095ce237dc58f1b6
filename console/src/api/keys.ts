// Every query's key begins with what it depends on and the namespace, so that the live line can invalidate it: [topic, namespace, ...what else].

export type Topic =
  'services' | 'documents' | 'alerts' | 'changes' | 'figures' | 'traces' | 'events' | 'access' | 'cluster'

export const key = (topic: Topic, namespace: string, ...rest: readonly unknown[]) =>
  [topic, namespace, ...rest] as const
