import { useStoreApi } from '@xyflow/react'
import { useEffect, useMemo, useRef } from 'react'
import { useDark } from '@/app/Theme'
import type { MapEdge } from './graph'
import type { Places } from './layered'
import { linesOf, type Line } from './lines'
import { colours, paint, type Viewport } from './paint'
import { usePointed, type Pointer } from './pointer'

/** A canvas reaches so far beyond what is seen, as a share of it: a pan moves the picture, and draws a new one only beyond that. */
const reach = 0.5
/** After a zoom the picture is stretched for so long, until it rests. */
const restMs = 100
/** Stretched by more than this it is drawn at once. */
const mostStretch = 1.6

type Draw = (context: CanvasRenderingContext2D, view: Viewport) => void

/** Keeps a canvas in step with the viewport of the map. React has no part in it. */
class Film {
  private drawn = { x: 0, y: 0, zoom: 1, width: 0, height: 0, across: 0, down: 0 }
  private stale = true
  private frame = 0
  private rest: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly look: () => { transform: readonly [number, number, number]; width: number; height: number },
    private readonly draw: () => Draw | undefined,
  ) {}

  /** What is drawn is no longer right. */
  renew() {
    this.stale = true
    this.move()
  }

  /** The viewport moved. */
  move() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0
      this.step()
    })
  }

  end() {
    cancelAnimationFrame(this.frame)
    clearTimeout(this.rest)
  }

  private step() {
    const { transform, width, height } = this.look()
    const [x, y, zoom] = transform
    const had = this.drawn
    const stretch = zoom / had.zoom
    const far = stretch > mostStretch || stretch < 1 / mostStretch
    // What is seen must lie within what was drawn.
    const left = x - (had.across + had.x) * stretch
    const top = y - (had.down + had.y) * stretch
    const right = left + (had.width + 2 * had.across) * stretch
    const bottom = top + (had.height + 2 * had.down) * stretch
    const bare = left > 0 || top > 0 || right < width || bottom < height
    clearTimeout(this.rest)
    if (this.stale || far || (bare && stretch === 1) || had.width !== width || had.height !== height) this.redraw()
    else {
      this.canvas.style.transform = `translate(${left + had.across}px, ${top + had.down}px) scale(${stretch})`
      if (stretch !== 1) this.rest = setTimeout(() => this.renew(), restMs)
    }
  }

  private redraw() {
    const { transform, width, height } = this.look()
    const draw = this.draw()
    this.canvas.hidden = !draw
    if (!draw || width === 0 || height === 0) return
    const [x, y, zoom] = transform
    const ratio = Math.min(2, devicePixelRatio)
    const [across, down] = [Math.round(width * reach), Math.round(height * reach)]
    const [wide, high] = [width + 2 * across, height + 2 * down]
    const context = this.canvas.getContext('2d')!
    if (this.canvas.width !== Math.round(wide * ratio) || this.canvas.height !== Math.round(high * ratio)) {
      this.canvas.width = Math.round(wide * ratio)
      this.canvas.height = Math.round(high * ratio)
      Object.assign(this.canvas.style, {
        width: `${wide}px`,
        height: `${high}px`,
        left: `${-across}px`,
        top: `${-down}px`,
      })
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    context.clearRect(0, 0, wide, high)
    draw(context, { left: x + across, top: y + down, zoom, width: wide, height: high })
    this.drawn = { x, y, zoom, width, height, across, down }
    this.stale = false
    this.canvas.style.transform = 'none'
  }
}

function useFilm(draw: Draw | undefined) {
  const store = useStoreApi()
  const canvas = useRef<HTMLCanvasElement>(null)
  const film = useRef<Film>(null)
  const latest = useRef(draw)
  useEffect(() => {
    const made = new Film(canvas.current!, store.getState, () => latest.current)
    film.current = made
    const leave = store.subscribe((now, before) => {
      if (now.transform !== before.transform || now.width !== before.width || now.height !== before.height) made.move()
    })
    return () => {
      leave()
      made.end()
    }
  }, [store])
  useEffect(() => {
    latest.current = draw
    film.current?.renew()
  }, [draw])
  return canvas
}

export interface EdgeLayerProps {
  lines: readonly Line[]
  /** All edges: of what is looked at those are shown too that go too seldom to be drawn otherwise. */
  edges: readonly MapEdge[]
  places: Places
  bright?: ReadonlySet<string>
  selected?: string
  pointer: Pointer
}

/** All edges on one canvas below the nodes, and on another those of what is pointed at or chosen. For those who do not see it, the table says the same. */
export function EdgeLayer({ lines, edges, places, bright, selected, pointer }: EdgeLayerProps) {
  const dark = useDark()
  const pointed = usePointed(pointer)
  const base = useMemo<Draw>(
    () => (context, view) => paint(context, { lines, places, view, colours: colours(), bright }),
    // Other colours in the dark.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [lines, places, bright, dark],
  )
  const looked = pointed ?? selected
  const lit = useMemo<Draw | undefined>(() => {
    const touches = (edge: MapEdge) => edge.id === looked || edge.source === looked || edge.target === looked
    const own = looked ? linesOf(edges.filter(touches), places) : []
    return own.length === 0
      ? undefined
      : (context, view) => paint(context, { lines: own, places, view, colours: colours(), lit: true })
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [edges, places, looked, dark])
  const below = useFilm(base)
  const above = useFilm(lit)
  return (
    <div className={`g-map-lines${lit ? ' g-map-lines-aside' : ''}`} aria-hidden>
      <canvas ref={below} />
      <canvas ref={above} />
    </div>
  )
}
