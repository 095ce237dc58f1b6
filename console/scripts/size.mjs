// Fails when the first page, the shell and the overview with its charts, weighs more than its bound in brotli.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { dist } from './dist.mjs'

const bound = 400_000
const first = [
  'index.html',
  ...['index', 'Panels', 'AttentionTable'].map((name) => `src/pages/overview/${name}.tsx`),
  'src/api/clients/live.ts',
  'src/ui/chart/TimeSeriesChart.tsx',
]

/** @type {Record<string, { file: string, imports?: string[], css?: string[], isEntry?: boolean }>} */
const manifest = JSON.parse(readFileSync(join(dist, '.manifest.json'), 'utf8'))
/** @type {Set<string>} */
const files = new Set()
/** @param {string} name */
function take(name) {
  const chunk = manifest[name]
  if (!chunk) throw new Error(`the build has no chunk ${name}`)
  if (files.has(chunk.file)) return
  files.add(chunk.file)
  for (const sheet of chunk.css ?? []) files.add(sheet)
  for (const below of chunk.imports ?? []) take(below)
}
first.forEach(take)

/** @param {string} file */
const weigh = (file) =>
  statSync(existsSync(join(dist, file + '.br')) ? join(dist, file + '.br') : join(dist, file)).size
const weights = [...files].map((file) => /** @type {const} */ ([file, weigh(file)])).sort((a, b) => b[1] - a[1])
const total = weights.reduce((sum, [, bytes]) => sum + bytes, statSync(join(dist, 'index.html')).size)
for (const [file, bytes] of weights) console.log(`${(bytes / 1024).toFixed(1).padStart(8)} KiB  ${file}`)
console.log(
  `${(total / 1024).toFixed(1).padStart(8)} KiB  the first page, of ${(bound / 1024).toFixed(1)} KiB that it may weigh`,
)
if (total > bound) process.exit(1)
