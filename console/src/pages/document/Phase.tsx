import type { Document } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import type { State } from '@/ui/states'
import { StateTag } from '@/ui/StateTag'
import { texts } from './messages'
import { cohortWords, phaseOf, type Phase as Word } from './reference'

const states: Record<Word, State> = {
  released: 'up',
  newer: 'pending',
  draft: 'pending',
  staged: 'starting',
  deleted: 'down',
}

/** Where a document stands, in a word and with the versions that matter. */
export function Phase({ document, detailed }: { document: Document; detailed?: boolean }) {
  const t = useMessages(texts).phase
  const phase = phaseOf(document)
  const detail = {
    released: String(document.releasedVersion),
    newer: t.newerDetail(String(document.releasedVersion), String(document.latestVersion)),
    draft: String(document.latestVersion),
    staged: `${document.rollout?.version} → ${cohortWords(document.rollout?.cohort)}`,
    deleted: '',
  }[phase]
  return (
    <StateTag state={states[phase]}>
      {t[phase]}
      {detailed && detail && <bdi className="g-num"> {detail}</bdi>}
    </StateTag>
  )
}
