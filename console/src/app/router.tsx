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
import { lazy } from 'react'

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

// Made once: a lazy component that is made anew would be loaded and mounted anew.
const built = pages.map((page) => ({ path: page.path, Component: lazy(page.load) }))

const basename = '/console'

// What is asked for comes together with the shell, and not when the shell is there to show it.
const asked = location.pathname.slice(basename.length)
void (pageAt(asked) ?? pageAt(paths.overview('-')))?.load()

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
        ...built,
        { path: '*', Component: Missing },
      ],
    },
  ],
  { basename },
)
