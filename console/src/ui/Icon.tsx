import type { ComponentProps } from 'react'
import Drawn from '@ant-design/icons/es/components/AntdIconLight'

/**
 * Stands in for what draws every icon of the library (vite.config.ts). Left to itself it is a picture with the name of its drawing, so that a button reads "reload
 * Refresh". Here it is silent: the word is beside it, or is the label of its button. One that is given a label, or that is clicked itself, speaks.
 */
export default function Icon(props: ComponentProps<typeof Drawn>) {
  const speaks =
    props['aria-label'] !== undefined || props['aria-labelledby'] !== undefined || props.onClick !== undefined
  return speaks ? <Drawn {...props} /> : <Drawn role={undefined} aria-label={undefined} aria-hidden {...props} />
}
