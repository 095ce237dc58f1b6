import { EventOutcome, type BusinessEvent, type FieldValue } from '@/api/gen/gantry/v1/event_pb'

/** The text of a field, as conditions are written. */
export const fieldText = ({ value }: FieldValue): string => (value.case === undefined ? '' : String(value.value))

/** The word for how it ended; what says nothing is a success. */
export function stateOfEvent({ outcome }: Pick<BusinessEvent, 'outcome'>): 'success' | 'refused' | 'failed' {
  if (outcome === EventOutcome.FAILED) return 'failed'
  return outcome === EventOutcome.REFUSED ? 'refused' : 'success'
}
