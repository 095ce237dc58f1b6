import type { StreamParser } from '@codemirror/language'

// Colours for formats that have no grammar of their own: line by line, and never more than that.

export const properties: StreamParser<{ value: boolean }> = {
  name: 'properties',
  startState: () => ({ value: false }),
  token(stream, state) {
    if (stream.sol()) state.value = false
    if (!state.value && stream.eatSpace()) return null
    if (!state.value && stream.match(/[#!].*/)) return 'comment'
    if (!state.value) {
      state.value = true
      stream.match(/(?:\\.|[^=:\s\\])+/)
      if (stream.current() !== '') return 'propertyName'
    }
    if (stream.match(/\s*[=:]?\s*/) && stream.current() !== '') return 'operator'
    stream.skipToEnd()
    return scalar(stream.current())
  },
}

export const toml: StreamParser<{ value: boolean; block: string }> = {
  name: 'toml',
  startState: () => ({ value: false, block: '' }),
  token(stream, state) {
    if (state.block) {
      while (!stream.eol()) {
        if (stream.match(state.block)) {
          state.block = ''
          return 'string'
        }
        stream.next()
      }
      return 'string'
    }
    if (stream.sol()) state.value = false
    if (stream.eatSpace()) return null
    if (stream.match(/#.*/)) return 'comment'
    const opened = stream.match(/"""|'''/) as RegExpMatchArray | null
    if (opened) {
      state.block = opened[0]
      return 'string'
    }
    if (!state.value) {
      if (stream.match(/\[\[?[^\]]*\]\]?/)) return 'heading'
      if (stream.match(/=/)) {
        state.value = true
        return 'operator'
      }
      if (stream.match(/"(?:\\.|[^"])*"|'[^']*'|[\w.-]+/)) return 'propertyName'
      stream.next()
      return null
    }
    if (stream.match(/"(?:\\.|[^"])*"|'[^']*'/)) return 'string'
    if (stream.match(/[^\s,#[\]{}=]+/)) return scalar(stream.current())
    stream.next()
    return null
  },
}

export const xml: StreamParser<{ comment: boolean; tag: boolean }> = {
  name: 'xml',
  startState: () => ({ comment: false, tag: false }),
  token(stream, state) {
    if (state.comment || stream.match('<!--')) {
      state.comment = true
      while (!stream.eol()) {
        if (stream.match('-->')) {
          state.comment = false
          break
        }
        stream.next()
      }
      return 'comment'
    }
    if (state.tag) {
      if (stream.eatSpace()) return null
      if (stream.match(/[/?]?>/)) {
        state.tag = false
        return 'propertyName'
      }
      if (stream.match(/"[^"]*"|'[^']*'/)) return 'string'
      if (stream.match(/[^\s=>"'/]+/)) return 'attributeName'
      stream.next()
      return null
    }
    if (stream.match(/<[/?!]?[^\s>/]*/)) {
      state.tag = true
      return 'propertyName'
    }
    stream.next()
    stream.match(/[^<]*/)
    return null
  },
}

function scalar(text: string): string {
  const word = text.trim()
  if (/^[+-]?\d[\d_.:TZeE+-]*$/.test(word)) return 'number'
  if (/^(true|false|null)$/.test(word)) return 'bool'
  return 'string'
}
