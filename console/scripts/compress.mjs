// Makes .br and .gz of what was built, and leaves no uncompressed copy: the binary carries each file twice, not three times. index.html stays as it is,
// because the server puts a fresh nonce into it; .manifest.json, which only the measure of size reads, too.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, extname } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { dist, filesBelow, keep } from './dist.mjs'

const plain = new Set(['index.html', '.manifest.json', keep])
// These are compressed already.
const compressed = new Set(['.br', '.gz', '.png', '.woff2'])

for (const path of filesBelow(dist)) {
  if (plain.has(basename(path)) || compressed.has(extname(path))) continue
  const content = readFileSync(path)
  writeFileSync(
    path + '.br',
    brotliCompressSync(content, {
      params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
    }),
  )
  writeFileSync(path + '.gz', gzipSync(content, { level: 9 }))
  rmSync(path)
}
