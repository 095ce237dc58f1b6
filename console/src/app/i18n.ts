import { usePreferences, type Language } from './preferences'

// Texts in two languages. A page brings `messages.ts` with both; Chinese must have the shape of English, so that a missing text does not compile. A text with
// something in it is a function: word order and plurals are then ordinary code, and what is put in is ordinary text.

type Shape<T> = {
  [K in keyof T]: T[K] extends string
    ? string
    : T[K] extends (...given: infer A) => string
      ? (...given: A) => string
      : Shape<T[K]>
}

export type Messages<T> = Record<Language, Shape<T>>

export function messages<T>(en: T, zh: Shape<NoInfer<T>>): Messages<T> {
  return { en: en as Shape<T>, zh }
}

/** The texts in the language that is set. */
export function useMessages<T>(all: Messages<T>): Shape<T> {
  return all[usePreferences().language]
}

/** "1 instance", "2 instances". */
export const plural = (count: number, one: string, many = one + 's') =>
  `${count.toLocaleString('en')} ${count === 1 ? one : many}`
