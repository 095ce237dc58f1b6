// Services are told apart by colours that are far from each other, in the order in which they come; red is left to what failed. With more services than colours they repeat: the name stands beside.
const light = [
  '#3b6fe0',
  '#0d9488',
  '#b45309',
  '#7c3aed',
  '#4d7c0f',
  '#0e7490',
  '#be185d',
  '#57534e',
  '#4338ca',
  '#a16207',
]
const dark = [
  '#6c9bff',
  '#2dbfae',
  '#e0964a',
  '#a98bfa',
  '#93bf4b',
  '#38b6d4',
  '#ea72b0',
  '#a8a29e',
  '#9397fb',
  '#d6b34a',
]

export function colourOf(services: readonly string[], isDark: boolean): (service: string) => string {
  const palette = isDark ? dark : light
  const places = new Map(services.map((service, i) => [service, palette[i % palette.length]!]))
  return (service) => places.get(service) ?? palette[0]!
}
