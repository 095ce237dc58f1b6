import { json } from '@codemirror/lang-json'
import { yaml } from '@codemirror/lang-yaml'
import { HighlightStyle, StreamLanguage, syntaxHighlighting } from '@codemirror/language'
import type { Extension } from '@codemirror/state'
import { EditorView } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { styleNonce } from '@/app/nonce'
import { properties, toml, xml } from './streams'

const highlight = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--g-link)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--g-good)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--g-warn)' },
  { tag: tags.comment, color: 'var(--g-text-secondary)', fontStyle: 'italic' },
])

const languages: Record<string, () => Extension> = {
  json,
  yaml,
  properties: () => StreamLanguage.define(properties),
  toml: () => StreamLanguage.define(toml),
  xml: () => StreamLanguage.define(xml),
}

/** What every editor and diff of the console has: the language, colours of the theme, and the nonce for its styles. */
export function common(format: string, dark: boolean): Extension {
  const nonce = styleNonce()
  return [
    languages[format]?.() ?? [],
    syntaxHighlighting(highlight),
    nonce ? EditorView.cspNonce.of(nonce) : [],
    EditorView.theme(
      {
        '&': { fontSize: '13px', backgroundColor: 'var(--g-container)', color: 'var(--g-text)' },
        '.cm-content, .cm-gutters': { fontFamily: 'var(--g-mono)' },
        '.cm-gutters': { backgroundColor: 'var(--g-fill)', color: 'var(--g-text-secondary)', border: 'none' },
        '&.cm-focused': { outline: '2px solid var(--g-accent)' },
      },
      { dark },
    ),
  ]
}
