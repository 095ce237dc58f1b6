import { App, Input } from 'antd'
import { useState, type ReactNode } from 'react'
import { explain } from '@/app/errors'
import { useMessages } from '@/app/i18n'
import { Failure } from './Failure'
import { texts } from './messages'

export interface Question {
  title: string
  /** What will happen, to whom. */
  what: ReactNode
  /** Whether it can be undone: said in words, and a red button when not. */
  undoable: boolean
  /** The word of the button: "Drain", never "OK". */
  action: string
  /** For what cannot be undone: a name that must be typed first. */
  typed?: string
  /** Does it. When it fails the question stays, with the error. */
  run: () => Promise<void>
}

function Body({
  question,
  error,
  onTyped,
}: {
  question: Question
  error?: unknown
  onTyped: (right: boolean) => void
}) {
  const t = useMessages(texts).confirm
  const [text, setText] = useState('')
  return (
    <>
      <div className="g-break">{question.what}</div>
      <p className={question.undoable ? 'g-secondary' : 'g-danger'}>{question.undoable ? t.undoable : t.final}</p>
      {question.typed && (
        <label>
          {t.typed(question.typed)}
          <Input
            value={text}
            autoComplete="off"
            onChange={(event) => {
              setText(event.target.value)
              onTyped(event.target.value === question.typed)
            }}
          />
        </label>
      )}
      {error !== undefined && <Failure error={error} compact />}
    </>
  )
}

/** Asks before something is done. */
export function useConfirm() {
  const { modal } = App.useApp()
  const t = useMessages(texts).confirm
  return (question: Question) => {
    const onTyped = (right: boolean) =>
      shown.update({ okButtonProps: { danger: !question.undoable, disabled: !right } })
    const shown = modal.confirm({
      title: question.title,
      content: <Body question={question} onTyped={onTyped} />,
      okText: question.action,
      cancelText: t.cancel,
      okButtonProps: { danger: !question.undoable, disabled: question.typed !== undefined },
      focusable: { autoFocusButton: question.undoable ? 'ok' : 'cancel' },
      width: 480,
      onOk: async () => {
        try {
          await question.run()
        } catch (error) {
          shown.update({ content: <Body question={question} error={error} onTyped={onTyped} /> })
          throw new Error(explain(error).message, { cause: error })
        }
      },
    })
  }
}
