import { useEffect, useState } from 'react'
import { releases } from '@/api/clients/releases'
import { explain } from '@/app/errors'
import { problemsOf, warningsOf, type Problem } from './problems'
import { bytesOf, type Reference } from './reference'

/** After this long without a key the text is sent to be validated. */
const quiet = 400

export interface Validation {
  state: 'checking' | 'valid' | 'invalid' | 'unknown'
  problems: readonly Problem[]
  /** Why it could not be told. */
  error?: unknown
}

const checking: Validation = { state: 'checking', problems: [] }

/** What Publish would say of a text, asked while it is written. Nothing is stored. */
export function useValidation(
  ref: Reference,
  text: string,
  format: string,
  sensitive: boolean,
  enabled: boolean,
): Validation {
  const [last, setLast] = useState<{ of: string; validation: Validation }>()
  const { namespace, kind, name } = ref
  const id = JSON.stringify([namespace, kind, name, format, sensitive, text])
  useEffect(() => {
    if (!enabled) return
    const ended = new AbortController()
    const timer = setTimeout(() => {
      const request = { ref: { namespace, kind, name }, format, content: bytesOf(text), sensitive }
      releases.validate(request, { signal: ended.signal }).then(
        ({ warnings }) => setLast({ of: id, validation: { state: 'valid', problems: warningsOf(warnings) } }),
        (error: unknown) => {
          if (ended.signal.aborted) return
          const said = explain(error)
          const wrong =
            said.code === 'invalid_argument' || said.code === 'failed_precondition' || said.code === 'out_of_range'
          setLast({
            of: id,
            validation: wrong
              ? { state: 'invalid', problems: problemsOf(said) }
              : { state: 'unknown', problems: [], error },
          })
        },
      )
    }, quiet)
    return () => {
      clearTimeout(timer)
      ended.abort()
    }
  }, [namespace, kind, name, format, sensitive, text, id, enabled])
  // Marks of the text before stay until the next answer, so that they do not flicker at each key.
  if (last?.of === id) return last.validation
  return last ? { ...last.validation, state: 'checking' } : checking
}
