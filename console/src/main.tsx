import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { RouterProvider } from 'react-router'
import { isPassing } from './app/errors'
import { firstPage, router } from './app/router'
import { SessionGate, whoAmI } from './app/session'
import { Theme } from './app/Theme'
import 'virtual:antd.css'
import './app/app.css'

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // The live line says when something is old; without it a look back at the tab asks again.
      staleTime: 5_000,
      retry: (failures, error) => failures < 2 && isPassing(error),
    },
    mutations: { retry: false },
  },
})

// Who looks and the page that is asked for come at the same time; with both there, nothing has to stand in for them. What fails is asked for again, and then told.
void Promise.allSettled([client.prefetchQuery(whoAmI), firstPage]).then(() =>
  createRoot(document.getElementById('root')!).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <Theme>
          <SessionGate>
            <RouterProvider router={router} />
          </SessionGate>
        </Theme>
      </QueryClientProvider>
    </StrictMode>,
  ),
)
