import { Button } from 'antd'
import { createBrowserRouter, Navigate, useNavigate } from 'react-router'
import { useMessages } from './i18n'
import { ErrorBoundary } from './ErrorBoundary'
import { texts } from './messages'
import { useNamespace } from './namespace'
import { Notice } from './Notice'
import { pageAt, pages } from './pages'
import { paths } from './paths'
import { preferences } from './preferences'
import { Shell } from './Shell'
import { loadable } from './loadable'

function Missing() {
  const t = useMessages(texts).missing
  const namespace = useNamespace()
  const navigate = useNavigate()
  return (
    <Notice
      title={t.title}
      action={
        <Button type="primary" onClick={() => void navigate(paths.overview(namespace))}>
          {t.back}
        </Button>
      }
    />
  )
}

const Home = () => <Navigate replace to={paths.overview(preferences().namespace)} />

// Made once: a component that is made anew would be mounted anew.
const built = pages.map((page) => ({ path: page.path, ...loadable(page.load) }))

const basename = '/console'

const asked = pageAt(location.pathname.slice(basename.length)) ?? pageAt(paths.overview('-'))!

/** The page that the address names, or its error: what is asked for comes together with the shell, and not when the shell is there to show it. */
export const firstPage = built[pages.indexOf(asked)]!.load()

export const router = createBrowserRouter(
  [
    { index: true, Component: Home },
    {
      path: ':namespace',
      element: (
        <ErrorBoundary>
          <Shell />
        </ErrorBoundary>
      ),
      children: [
        { index: true, element: <Navigate replace to="overview" /> },
        ...built.map(({ path, Component }) => ({ path, Component })),
        { path: '*', Component: Missing },
      ],
    },
  ],
  { basename },
)
