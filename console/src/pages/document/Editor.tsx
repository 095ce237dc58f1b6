import { autocompletion, type CompletionContext, type CompletionResult } from '@codemirror/autocomplete'
import { syntaxTree } from '@codemirror/language'
import { lintGutter, setDiagnostics } from '@codemirror/lint'
import { Compartment, EditorState } from '@codemirror/state'
import { EditorView, keymap } from '@codemirror/view'
import type { SyntaxNode } from '@lezer/common'
import { basicSetup } from 'codemirror'
import { useEffect, useRef } from 'react'
import { useDark } from '@/app/Theme'
import { common } from '@/ui/editor/setup'
import { fieldWords, valueWords, yamlPlace, type Path, type Schema, type Word } from './completion'
import { markOf, type Problem } from './problems'

export interface EditorProps {
  /** What stands there at first, and again whenever `generation` changes. */
  text: string
  generation?: number
  format: string
  label: string
  readOnly: boolean
  onChange?: (text: string) => void
  /** Ctrl-S, or Cmd-S on a Mac. */
  onSave?: () => void
  problems?: readonly Problem[]
  schemas?: readonly Schema[]
  /** Goes to a place; a new object goes again. */
  goTo?: { line: number; column?: number }
}

const none: readonly Schema[] = []
const noProblems: readonly Problem[] = []

/** A text to read or to write, with marks where something is wrong and words that may stand there. */
export default function Editor({
  text,
  generation = 0,
  format,
  label,
  readOnly,
  onChange,
  onSave,
  problems = noProblems,
  schemas = none,
  goTo,
}: EditorProps) {
  const place = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView>(undefined)
  const dark = useDark()
  const look = useRef(new Compartment())
  // The editor is made once for a text; these change under it.
  const latest = useRef({ onChange, onSave, schemas, text, dark })
  useEffect(() => {
    latest.current = { onChange, onSave, schemas, text, dark }
  })
  useEffect(() => {
    const theme = look.current
    const made = new EditorView({
      parent: place.current!,
      doc: latest.current.text,
      extensions: [
        basicSetup,
        EditorView.lineWrapping,
        EditorState.readOnly.of(readOnly),
        EditorView.editable.of(!readOnly),
        // What is only read takes the keyboard too, for scrolling and searching.
        EditorView.contentAttributes.of({ 'aria-label': label, tabindex: '0' }),
        // From the first moment on: it carries the nonce without which the browser refuses the editor's styles.
        theme.of(common(format, latest.current.dark)),
        // The browser's own dialog, which saves the page, is never what is meant.
        readOnly ? [] : keymap.of([{ key: 'Mod-s', run: () => (latest.current.onSave?.(), true) }]),
        readOnly ? [] : lintGutter(),
        readOnly ? [] : autocompletion({ override: [(context) => complete(context, format, latest.current.schemas)] }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) latest.current.onChange?.(update.state.doc.toString())
        }),
      ],
    })
    view.current = made
    if (!readOnly) made.focus()
    return () => {
      view.current = undefined
      made.destroy()
    }
  }, [generation, format, label, readOnly])
  useEffect(() => {
    view.current?.dispatch({ effects: look.current.reconfigure(common(format, dark)) })
  }, [generation, format, label, readOnly, dark])
  useEffect(() => {
    const editor = view.current
    if (!editor) return
    editor.dispatch(
      setDiagnostics(
        editor.state,
        problems
          .filter((problem) => problem.line !== undefined)
          .map((problem) => ({
            ...markOf(editor.state.doc, problem),
            severity: problem.severity,
            message:
              [problem.field, problem.message].filter(Boolean).join(': ') + (problem.hint ? `\n${problem.hint}` : ''),
          })),
      ),
    )
  }, [problems, generation, format, label, readOnly])
  useEffect(() => {
    const editor = view.current
    if (!editor || !goTo) return
    const mark = markOf(editor.state.doc, { severity: 'error', message: '', ...goTo })
    editor.dispatch({
      selection: { anchor: mark.from },
      effects: EditorView.scrollIntoView(mark.from, { y: 'center' }),
    })
    editor.focus()
  }, [goTo])
  return <div ref={place} className="g-document-editor" />
}

function complete(context: CompletionContext, format: string, schemas: readonly Schema[]): CompletionResult | null {
  if (schemas.length === 0) return null
  const found = format === 'yaml' ? inYaml(context, schemas) : format === 'json' ? inJson(context, schemas) : undefined
  if (!found || found.words.length === 0) return null
  if (!context.explicit && found.from === context.pos && found.quiet) return null
  return {
    from: found.from,
    options: found.words.map((word) => ({
      label: word.label,
      apply: word.apply,
      detail: word.detail,
      info: word.info,
      type: found.at === 'field' ? 'property' : 'constant',
    })),
    validFor: /^["\w.-]*$/,
  }
}

interface Found {
  from: number
  at: 'field' | 'value'
  words: Word[]
  /** Whether nothing is offered before something is typed or asked for. */
  quiet: boolean
}

function inYaml(context: CompletionContext, schemas: readonly Schema[]): Found | undefined {
  const doc = context.state.doc
  const line = doc.lineAt(context.pos)
  const place = yamlPlace(doc.toString().split('\n'), line.number - 1, context.pos - line.from)
  if (!place) return undefined
  const words =
    place.at === 'field'
      ? fieldWords(schemas, place.path, place.there, 'yaml')
      : valueWords(schemas, place.path, 'yaml')
  return { from: line.from + place.from, at: place.at, words, quiet: place.at === 'field' }
}

function inJson(context: CompletionContext, schemas: readonly Schema[]): Found | undefined {
  const { state, pos } = context
  const read = (node: SyntaxNode) => state.sliceDoc(node.from, node.to)
  let node: SyntaxNode | null = syntaxTree(state).resolveInner(pos, -1)
  const inner = node
  const path: Path = []
  for (; node; node = node.parent) {
    const parent: SyntaxNode | null = node.parent
    if (node.name === 'Property') {
      const name = node.getChild('PropertyName')
      // On its name, or before the colon, it is the field of the object around that is typed.
      if (name && inner.name !== 'PropertyName' && pos > name.to) path.unshift(unquote(read(name)))
    } else if (parent?.name === 'Array' && node.name !== '[' && node.name !== ']') {
      let index = 0
      for (let before = node.prevSibling; before; before = before.prevSibling) if (/^[A-Z]/.test(before.name)) index++
      path.unshift(index)
    }
  }
  const container = inner.name === 'Object' ? inner : inner.name === 'PropertyName' ? inner.parent?.parent : undefined
  if (container?.name === 'Object') {
    const there = new Set(
      container.getChildren('Property').flatMap((property) => {
        const name = property.getChild('PropertyName')
        return name && !(name.from <= pos && pos <= name.to) ? [unquote(read(name))] : []
      }),
    )
    const from =
      inner.name === 'PropertyName'
        ? inner.from
        : pos - (/[\w"-]*$/.exec(state.sliceDoc(Math.max(0, pos - 80), pos))?.[0].length ?? 0)
    return { from, at: 'field', words: fieldWords(schemas, path, there, 'json'), quiet: inner.name === 'Object' }
  }
  const typed = /["\w.-]*$/.exec(state.sliceDoc(Math.max(0, pos - 80), pos))?.[0].length ?? 0
  return { from: pos - typed, at: 'value', words: valueWords(schemas, path, 'json'), quiet: false }
}

const unquote = (text: string) => {
  try {
    return String(JSON.parse(text))
  } catch {
    return text.replaceAll('"', '')
  }
}
