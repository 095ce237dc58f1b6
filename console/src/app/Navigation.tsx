import { Fragment } from 'react'
import { Link, useLocation } from 'react-router'
import { useMessages } from './i18n'
import { texts } from './messages'
import { useNamespace } from './namespace'
import { icons, nouns, pages } from './pages'
import { paths } from './paths'

/** A list of links and no menu of the library: it is what the first page waits for, and what people who hear the page know how to walk. */
export function Navigation({ onGo, collapsed }: { onGo?: () => void; collapsed?: boolean }) {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const { pathname } = useLocation()
  const here = pathname.split('/')[2] ?? ''
  const offered = nouns
    .map((noun) => ({ noun, entries: pages.flatMap((page) => (page.noun === noun && page.menu ? [page.menu] : [])) }))
    .filter(({ entries }) => entries.length > 0)
  return (
    <nav aria-label={t.nav.label} className="g-nav">
      {offered.map(({ noun, entries }) => (
        <Fragment key={noun}>
          {noun !== 'overview' && !collapsed && <div className="g-nav-noun">{t.nouns[noun]}</div>}
          <ul aria-label={noun === 'overview' ? undefined : t.nouns[noun]}>
            {entries.map((entry) => (
              <li key={entry}>
                <Link
                  to={paths[entry](namespace)}
                  onClick={onGo}
                  aria-current={entry === here ? 'page' : undefined}
                  title={collapsed ? t.nav[entry] : undefined}
                >
                  <span aria-hidden>{icons[entry]}</span>
                  <span className={collapsed ? 'g-sr' : undefined}>{t.nav[entry]}</span>
                </Link>
              </li>
            ))}
          </ul>
        </Fragment>
      ))}
    </nav>
  )
}
