// Every task, in one program, so that they share server, fleet and browser. One alone: node --test e2e/tasks/drain.mjs
import { readdirSync } from 'node:fs'

for (const file of readdirSync(new URL('./tasks/', import.meta.url)).sort())
  if (file.endsWith('.mjs')) await import(new URL(`./tasks/${file}`, import.meta.url).href)
