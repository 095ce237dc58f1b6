import { Button } from 'antd'
import { useState } from 'react'
import { useMessages } from '@/app/i18n'
import { nodeTypes } from './graph'
import { texts } from './messages'
import { nodeIcons, Outline } from './NodeBox'

export function Legend() {
  const t = useMessages(texts)
  const [open, setOpen] = useState(false)
  return (
    <div className="g-map-legend">
      {open && (
        <div id="g-map-legend">
          <ul className="g-map-legend-kinds">
            {nodeTypes.map((type) => (
              <li key={type}>
                <span className={`g-map-node g-map-node-${type}`}>
                  <Outline type={type} />
                  <span className="g-map-icon">{nodeIcons[type]}</span>
                </span>
                {t.types[type]}
              </li>
            ))}
          </ul>
          <ul>
            <li>
              <Sample width={1.5} />
              <Sample width={5} />
              {t.legend.width}
            </li>
            <li>
              <Sample width={3} tone="failing" sign="✕" />
              {t.legend.failing}
            </li>
            <li>
              <Sample width={3} tone="slow" sign="◷" />
              {t.legend.slow}
            </li>
            <li>{t.legend.label}</li>
            <li className="g-secondary">{t.legend.keys}</li>
          </ul>
        </div>
      )}
      <Button size="small" aria-expanded={open} aria-controls="g-map-legend" onClick={() => setOpen(!open)}>
        {t.legend.title}
      </Button>
    </div>
  )
}

function Sample({ width, tone = 'well', sign }: { width: number; tone?: string; sign?: string }) {
  return (
    <svg className={`g-map-sample g-map-sample-${tone}`} width={40} height={16} aria-hidden>
      <path d="M0 8H40" strokeWidth={width} />
      {sign && (
        <text x={20} y={13} textAnchor="middle">
          {sign}
        </text>
      )}
    </svg>
  )
}
