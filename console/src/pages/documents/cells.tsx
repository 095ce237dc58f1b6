import { useQuery } from '@tanstack/react-query'
import { timestampMs } from '@bufbuild/protobuf/wkt'
import type { Document } from '@/api/gen/gantry/v1/release_pb'
import { releases } from '@/api/clients'
import { key } from '@/api/keys'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { unknown } from '@/ui/format'
import { StateTag } from '@/ui/StateTag'
import { progressOf } from '../document/history'
import { texts } from './messages'

// What a row asks for itself: only rows in sight exist, so that a namespace of thousands asks for tens.

/** For so long after a change instances may still be on their way to it. */
const settling = 5 * 60_000

/** How many instances run what they should. */
export function Running({ document }: { document: Document }) {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const moving =
    document.rollout !== undefined ||
    (document.updatedAt !== undefined && Date.now() - timestampMs(document.updatedAt) < settling)
  const inForce = document.releasedVersion > 0n || document.rollout !== undefined
  const applied = useQuery({
    // Asked again with each tick while instances are on their way, otherwise when documents move.
    queryKey: key(moving ? 'figures' : 'documents', namespace, 'applied', document.ref?.kind, document.ref?.name),
    queryFn: ({ signal }) => releases.applied({ ref: document.ref }, { signal }),
    enabled: inForce,
  })
  if (!inForce || applied.error) return <span className="g-secondary">{unknown}</span>
  if (!applied.data) return <span className="g-secondary">…</span>
  const { applied: done, total, failed, waiting } = progressOf(applied.data.reports)
  if (total === 0) return <span className="g-secondary">{t.nobody}</span>
  if (failed + waiting === 0) return <StateTag state="success">{t.all(total)}</StateTag>
  return <StateTag state={failed > 0 ? 'failed' : 'pending'}>{t.drift(done, total, failed)}</StateTag>
}

/** Who changed it last, and why. */
export function LastChange({ document }: { document: Document }) {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const last = useQuery({
    // A head of one revision has one last entry: it is asked for once.
    queryKey: ['last-change', namespace, document.ref?.kind, document.ref?.name, String(document.revision)],
    queryFn: ({ signal }) => releases.history({ ref: document.ref, limit: 1 }, { signal }),
    staleTime: Infinity,
  })
  const entry = last.data?.entries[0]
  if (!entry) return <span className="g-secondary">{last.data ? unknown : ''}</span>
  return (
    <span title={entry.message}>
      {t.by(entry.author)}
      {entry.message && <span className="g-secondary"> · {entry.message}</span>}
    </span>
  )
}
