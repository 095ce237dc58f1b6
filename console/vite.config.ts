import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'
import { antdStyles } from './scripts/antd.mjs'
import { firstPage } from './scripts/first-page.mjs'
import { standIns } from './scripts/stand-ins.mjs'

const root = fileURLToPath(new URL('./', import.meta.url))
// The server that `npm run dev` talks to.
const server = process.env['GANTRY_ADDRESS'] ?? 'http://127.0.0.1:8848'
// changeOrigin stays off on purpose: the cookie counts only for what the browser says is of the same origin, and the host is part of that.
const proxied = { target: server, changeOrigin: false }

export default defineConfig({
  base: '/console/',
  plugins: [
    react(),
    antdStyles(root + 'src'),
    firstPage(['src/pages/overview/index.tsx', 'src/pages/overview/Panels.tsx', 'src/api/clients/live.ts']),
    standIns(root, [
      // Ant Design keeps the page behind a dialog in place by a style without nonce, which the policy refuses and the browser then complains of. app.css does it.
      { find: /^\.\/useScrollLocker$/, by: 'src/ui/useScrollLocker.ts' },
      // Icons say the name of their drawing to who cannot see them.
      { find: /^\.\.\/components\/AntdIconLight$/, by: 'src/ui/Icon.tsx' },
    ]),
  ],
  resolve: {
    alias: [{ find: '@', replacement: root + 'src' }],
  },
  build: {
    outDir: '../internal/console/dist',
    // scripts/compress.mjs empties the folder before a build; Vite would take away the committed file that keeps it embeddable.
    emptyOutDir: false,
    // Nothing may be inlined as data: but images; fonts and scripts are files of their own under the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    chunkSizeWarningLimit: 2000,
    // What the first page needs is in one file, and not in twenty of a few hundred bytes each: a browser asks for six at a time.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'shell', tags: ['$initial'] }] } } },
    manifest: '.manifest.json',
  },
  server: {
    proxy: {
      '^/gantry\\.v1\\.': proxied,
      '/prometheus': proxied,
      '/ns': proxied,
      '/console/session': proxied,
    },
  },
  test: { environment: 'node', include: ['src/**/*.test.{ts,tsx}'] },
})
