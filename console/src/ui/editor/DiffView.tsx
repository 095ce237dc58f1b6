import { MergeView, unifiedMergeView } from '@codemirror/merge'
import { EditorState } from '@codemirror/state'
import { EditorView, lineNumbers } from '@codemirror/view'
import { useEffect, useRef } from 'react'
import { useDark } from '@/app/Theme'
import type { DiffProps } from '../Diff'
import { textChanges } from './lines'
import { common } from './setup'

const narrow = 720
const diffConfig = { override: textChanges }

export default function DiffView({ before, after, format, beforeName, afterName, layout }: DiffProps) {
  const place = useRef<HTMLDivElement>(null)
  const dark = useDark()
  useEffect(() => {
    const parent = place.current!
    const read = [common(format, dark), lineNumbers(), EditorView.lineWrapping, EditorState.readOnly.of(true)]
    const named = (name: string | undefined) => EditorView.contentAttributes.of({ 'aria-label': name ?? '' })
    const collapseUnchanged = { margin: 3, minSize: 6 }
    const view =
      layout === 'unified' || (layout === undefined && parent.clientWidth < narrow)
        ? new EditorView({
            parent,
            doc: after,
            extensions: [
              read,
              named(afterName),
              unifiedMergeView({ original: before, mergeControls: false, collapseUnchanged, diffConfig }),
            ],
          })
        : new MergeView({
            parent,
            a: { doc: before, extensions: [read, named(beforeName)] },
            b: { doc: after, extensions: [read, named(afterName)] },
            collapseUnchanged,
            diffConfig,
          })
    return () => view.destroy()
  }, [before, after, format, dark, beforeName, afterName, layout])
  return (
    <div className="g-diff">
      <div className="g-diff-names g-secondary">
        <span>{beforeName}</span>
        <span>{afterName}</span>
      </div>
      <div ref={place} />
    </div>
  )
}
