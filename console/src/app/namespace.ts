import { useParams } from 'react-router'

/** The namespace that the path names. */
export function useNamespace(): string {
  return useParams()['namespace'] ?? 'default'
}
