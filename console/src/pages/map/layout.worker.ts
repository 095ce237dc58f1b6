import { place } from './dagreLayout'
import type { Shape } from './layered'

addEventListener('message', (event: MessageEvent<{ ask: number; shape: Shape }>) => {
  postMessage({ ask: event.data.ask, places: place(event.data.shape) })
})
