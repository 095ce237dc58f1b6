/** Gives the browser a file to keep. */
export function download(name: string, content: BlobPart, type = 'application/yaml') {
  const url = URL.createObjectURL(new Blob([content], { type }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // The browser has taken it by the next turn.
  setTimeout(() => URL.revokeObjectURL(url), 1000)
}
