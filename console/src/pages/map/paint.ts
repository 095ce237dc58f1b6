import { seconds, share } from '@/ui/format'
import { failedShare, widthOf, type MapEdge } from './graph'
import { nodeHeight, nodeWidth, type Places, type Point } from './layered'
import { overlap, placeLabel, Taken, type Box, type Line } from './lines'
import { at } from './path'

// Draws lines onto a canvas as they are seen through a viewport: what is unwell last, so that it lies above, and labels only where nothing else is.

export interface Colours {
  line: string
  head: string
  bad: string
  warn: string
  accent: string
  text: string
  ground: string
  font: string
}

/** Read from the properties of the root: a canvas does not know them by name. */
export function colours(): Colours {
  const style = getComputedStyle(document.documentElement)
  const get = (name: string) => style.getPropertyValue(`--g-${name}`).trim()
  const text = get('text-secondary')
  return {
    line: text,
    head: text,
    bad: get('bad'),
    warn: get('warn'),
    accent: get('accent'),
    text: get('text'),
    ground: get('container'),
    font: get('font') || 'sans-serif',
  }
}

/** From the plane to the canvas: x * zoom + left, y * zoom + top. */
export interface Viewport {
  left: number
  top: number
  zoom: number
  /** Of the canvas. */
  width: number
  height: number
}

/** Farther away than this, names are drawn large and figures not at all. */
export const farBelow = 0.6
/** And from here there is room for signs alone. */
export const tinyBelow = 0.35

export interface Picture {
  lines: readonly Line[]
  places: Places
  view: Viewport
  colours: Colours
  bright?: ReadonlySet<string>
  /** These lines are what is looked at: in the accent, and with a label where there is room. */
  lit?: boolean
}

const order = (line: Line) => (line.edge.unwell === 'failing' ? 2 : line.edge.unwell ? 1 : 0)

export function paint(context: CanvasRenderingContext2D, picture: Picture) {
  const { lines, view, bright } = picture
  const seen = {
    left: -view.left / view.zoom,
    top: -view.top / view.zoom,
    right: (view.width - view.left) / view.zoom,
    bottom: (view.height - view.top) / view.zoom,
  }
  const inSight = lines.filter((line) => overlap(grown(line.box), seen))
  const dim = (line: Line) => bright !== undefined && !bright.has(line.edge.id)
  const inOrder = [...inSight].sort((a, b) => Number(dim(b)) - Number(dim(a)) || order(a) - order(b))
  context.save()
  context.lineCap = 'butt'
  for (const line of inOrder) stroke(context, line, picture, dim(line))
  context.restore()
  labels(
    context,
    inSight.filter((line) => !dim(line)),
    picture,
  )
}

// A straight line has a box without height, and a thick one is wider than its middle.
const grown = ({ left, top, right, bottom }: Box): Box => ({
  left: left - 8,
  top: top - 8,
  right: right + 8,
  bottom: bottom + 8,
})

function colourOf(edge: MapEdge, { colours, lit }: Picture): string {
  if (edge.unwell === 'failing') return colours.bad
  if (edge.unwell === 'slow') return colours.warn
  return lit ? colours.accent : colours.line
}

function stroke(context: CanvasRenderingContext2D, line: Line, picture: Picture, dim: boolean) {
  const { view, lit } = picture
  const { edge } = line
  const well = edge.unwell === undefined
  // From afar a line is not thinner than can be seen, and what is well gives way.
  context.globalAlpha = dim ? 0.12 : lit || !well ? 1 : view.zoom < tinyBelow ? 0.42 : 0.7
  context.strokeStyle = context.fillStyle = colourOf(edge, picture)
  const width = Math.max(0.75, widthOf(edge.sum.rate) * Math.min(view.zoom, 1.25))
  context.lineWidth = lit || !well ? Math.max(2, width) : width
  context.setLineDash(edge.unwell === 'slow' ? [8, 4] : [])
  const to = (p: Point) => [p.x * view.zoom + view.left, p.y * view.zoom + view.top] as const
  context.beginPath()
  context.moveTo(...to(line.curves[0]![0]))
  for (const [, b, c, d] of line.curves) context.bezierCurveTo(...to(b), ...to(c), ...to(d))
  context.stroke()
  if (view.zoom >= tinyBelow || lit || !well) head(context, line, view)
}

/** The arrow's head, in the direction in which the last curve arrives. */
function head(context: CanvasRenderingContext2D, line: Line, view: Viewport) {
  const last = line.curves[line.curves.length - 1]!
  const tip = last[3]
  const before = at(last, 0.94)
  const angle = Math.atan2(tip.y - before.y, tip.x - before.x)
  const size = Math.max(5, 10 * Math.min(1.25, view.zoom))
  const [x, y] = [tip.x * view.zoom + view.left, tip.y * view.zoom + view.top]
  const corner = (side: number) =>
    [
      x - size * Math.cos(angle) + side * size * 0.45 * Math.sin(angle),
      y - size * Math.sin(angle) - side * size * 0.45 * Math.cos(angle),
    ] as const
  context.beginPath()
  context.moveTo(x, y)
  context.lineTo(...corner(1))
  context.lineTo(...corner(-1))
  context.fill()
}

const signs = { failing: '✕', slow: '◷' } as const

/** p95 and the share of failed calls; a sign beside the colour says what is unwell. */
export function labelOf({ sum, unwell }: MapEdge): string {
  const failed = sum.failed > 0 ? ` · ${share(failedShare(sum))}` : ''
  return `${unwell ? `${signs[unwell]} ` : ''}${seconds(sum.p95)}${failed}`
}

const labelHeight = 16

function labels(context: CanvasRenderingContext2D, lines: readonly Line[], picture: Picture) {
  const { view, places, colours, lit } = picture
  const onScreen = (p: Point) => ({ x: p.x * view.zoom + view.left, y: p.y * view.zoom + view.top })
  const taken = new Taken()
  for (const corner of Object.values(places.nodes)) {
    const { x, y } = onScreen(corner)
    const box = { left: x, top: y, right: x + nodeWidth * view.zoom, bottom: y + nodeHeight * view.zoom }
    if (overlap(box, { left: 0, top: 0, right: view.width, bottom: view.height })) taken.add(box)
  }
  const wanted = lines
    .filter((line) => line.edge.unwell || lit || view.zoom >= farBelow)
    .sort((a, b) => order(b) - order(a) || b.edge.sum.rate - a.edge.sum.rate)
  context.save()
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  context.lineJoin = 'round'
  context.lineWidth = 5
  context.strokeStyle = colours.ground
  for (const line of wanted) {
    const { edge } = line
    context.font = `${edge.unwell ? 600 : 400} ${view.zoom < 0.8 ? 11 : 12}px ${colours.font}`
    const long = labelOf(edge)
    // Where all of it has no room, the sign or the duration alone may have some.
    for (const text of [long, edge.unwell ? signs[edge.unwell] : seconds(edge.sum.p95)]) {
      const place = placeLabel(line, context.measureText(text).width + 6, labelHeight, taken, onScreen)
      if (!place) continue
      context.strokeText(text, place.x, place.y)
      context.fillStyle = edge.unwell ? colourOf(edge, picture) : colours.text
      context.fillText(text, place.x, place.y)
      break
    }
  }
  context.restore()
}
