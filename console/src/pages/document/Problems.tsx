import { CloseCircleFilled, ExclamationCircleFilled } from '@ant-design/icons'
import { Button } from 'antd'
import { useMessages } from '@/app/i18n'
import { Failure } from '@/ui/Failure'
import { StateTag } from '@/ui/StateTag'
import { texts as shared } from '@/ui/messages'
import { texts } from './messages'
import type { Problem } from './problems'
import type { Validation } from './useValidation'

/** What is wrong with the text, in a list: each leads to its line. */
export function Problems({
  validation,
  goTo,
  markSensitive,
}: {
  validation: Validation
  goTo: (problem: Problem) => void
  /** For kinds that hold secrets: what is said of a manifest is a box here. */
  markSensitive?: () => void
}) {
  const t = useMessages(texts).problems
  const line = useMessages(shared).failure.line
  const { state, problems, error } = validation
  return (
    <div className="g-document-problems" role="status" aria-label={t.title}>
      {state === 'valid' && problems.length === 0 && <StateTag state="success">{t.valid}</StateTag>}
      {state === 'checking' && problems.length === 0 && <StateTag state="starting">{t.checking}</StateTag>}
      {error !== undefined && <Failure error={error} compact />}
      {problems.length > 0 && (
        <ul>
          {problems.map((problem, i) => (
            <li key={i}>
              <span
                className={problem.severity === 'error' ? 'g-danger' : 'g-document-warn'}
                aria-label={t[problem.severity]}
              >
                {problem.severity === 'error' ? <CloseCircleFilled /> : <ExclamationCircleFilled />}
              </span>
              {problem.line !== undefined && (
                <button type="button" className="g-document-goto g-num" onClick={() => goTo(problem)}>
                  {line(problem.line, problem.column)}
                </button>
              )}
              <span className="g-break">
                {problem.field === 'metadata.sensitive' && markSensitive ? (
                  <>
                    {problem.message}{' '}
                    <Button size="small" onClick={markSensitive}>
                      {t.markSensitive}
                    </Button>
                  </>
                ) : (
                  <>
                    {problem.field && <code>{problem.field}: </code>}
                    {problem.message}
                    {problem.hint && <span className="g-secondary"> {problem.hint}</span>}
                  </>
                )}
              </span>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
