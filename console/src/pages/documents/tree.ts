import type { Document } from '@/api/gen/gantry/v1/release_pb'
import { phaseOf, type Phase } from '../document/reference'
import type { Listed } from './useDocuments'

/** What a row of the tree is: a kind, a folder of names, or a document. */
export type Row =
  | { type: 'group'; id: string; label: string; depth: number; count: number; open: boolean }
  | { type: 'document'; id: string; label: string; depth: number; one: Listed }

export interface Filter {
  search: string
  kind: string
  phase: string
}

export const idOf = ({ document }: Listed) => `${document.ref?.kind}/${document.ref?.name}`

export const matchesFilter = (document: Document, filter: Filter): boolean =>
  (filter.kind === '' || document.ref?.kind === filter.kind) &&
  (filter.phase === '' || phaseOf(document) === (filter.phase as Phase)) &&
  (filter.search === '' ||
    `${document.ref?.kind}/${document.ref?.name}`.toLowerCase().includes(filter.search.toLowerCase()))

interface Node {
  folders: Map<string, Node>
  documents: Listed[]
  count: number
}

const empty = (): Node => ({ folders: new Map(), documents: [], count: 0 })

/** Rows of the tree: kinds, then folders as names have slashes, then documents. Folders with one folder in them are told in one row. */
export function rowsOf(documents: readonly Listed[], closed: ReadonlySet<string>): Row[] {
  const root = empty()
  for (const one of documents) {
    const { ref } = one.document
    // Names of keys may begin or end with a slash, or hold two: what is after the last is the name, whatever it is.
    const steps = [ref?.kind ?? '', ...(ref?.name ?? '').split('/').slice(0, -1)]
    let at = root
    at.count++
    for (const step of steps) {
      let next = at.folders.get(step)
      if (!next) at.folders.set(step, (next = empty()))
      next.count++
      at = next
    }
    at.documents.push(one)
  }
  const rows: Row[] = []
  const walk = (node: Node, path: string, depth: number) => {
    for (const [name, child] of [...node.folders].sort(byName)) {
      let label = name
      let at = child
      let id = path ? `${path}/${name}` : name
      while (depth > 0 && at.documents.length === 0 && at.folders.size === 1) {
        const [only, inner] = [...at.folders][0]!
        label += `/${only}`
        id += `/${only}`
        at = inner
      }
      const open = !closed.has(id)
      rows.push({ type: 'group', id, label: depth === 0 ? label : `${label}/`, depth, count: child.count, open })
      if (open) walk(at, id, depth + 1)
    }
    for (const one of node.documents) {
      const name = one.document.ref?.name ?? ''
      rows.push({ type: 'document', id: idOf(one), label: name.slice(name.lastIndexOf('/') + 1) || name, depth, one })
    }
  }
  walk(root, '', 0)
  return rows
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]) => (a < b ? -1 : 1)
