// Saved views: the query string of a page under a name, in this browser.

export interface View {
  name: string
  search: string
}

const most = 50
const key = (page: string) => `gantry.views.${page}`

export function readViews(page: string, storage: Pick<Storage, 'getItem'>): View[] {
  try {
    const kept: unknown = JSON.parse(storage.getItem(key(page)) ?? '[]')
    if (!Array.isArray(kept)) return []
    return kept
      .filter(
        (v): v is View =>
          typeof v === 'object' &&
          v !== null &&
          typeof (v as View).name === 'string' &&
          typeof (v as View).search === 'string',
      )
      .slice(0, most)
  } catch {
    return []
  }
}

/** The views with one more, or another under the same name; the newest first. */
export const withView = (views: readonly View[], view: View): View[] =>
  [view, ...views.filter((v) => v.name !== view.name)].slice(0, most)

export function writeViews(page: string, views: readonly View[], storage: Pick<Storage, 'setItem'>) {
  storage.setItem(key(page), JSON.stringify(views))
}
