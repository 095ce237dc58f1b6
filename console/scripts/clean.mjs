// Empties the folder of the build, but for the committed file that keeps it embeddable without a build.
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { dist, keep } from './dist.mjs'

for (const name of readdirSync(dist)) {
  if (name !== keep) rmSync(join(dist, name), { recursive: true })
}
