import { DeleteOutlined } from '@ant-design/icons'
import { Button, Input, Popover, Space } from 'antd'
import { useState, type ReactNode } from 'react'
import { useLocation, useNavigate } from 'react-router'
import { useMessages } from './i18n'
import { texts } from './messages'
import { readViews, withView, writeViews, type View } from './views'

/** The panel of SavedViews, which is open when it comes. */
export default function SavedViewsPanel({ page, children }: { page: string; children: ReactNode }) {
  const t = useMessages(texts).views
  const location = useLocation()
  const navigate = useNavigate()
  const [open, setOpen] = useState(true)
  const [views, setViews] = useState<View[]>(() => readViews(page, localStorage))
  const [name, setName] = useState('')
  const keep = (next: View[]) => {
    setViews(next)
    writeViews(page, next, localStorage)
  }
  const save = () => {
    const given = name.trim()
    if (!given) return
    keep(withView(views, { name: given, search: location.search }))
    setName('')
  }
  return (
    <Popover
      trigger="click"
      placement="bottomRight"
      open={open}
      onOpenChange={setOpen}
      content={
        <div className="g-views">
          {views.length === 0 && <div className="g-secondary">{t.none}</div>}
          <ul>
            {views.map((view) => (
              <li key={view.name}>
                <Button
                  type="link"
                  onClick={() => {
                    setOpen(false)
                    void navigate({ pathname: location.pathname, search: view.search })
                  }}
                >
                  {view.name}
                </Button>
                <Button
                  type="text"
                  size="small"
                  icon={<DeleteOutlined />}
                  aria-label={t.remove(view.name)}
                  onClick={() => keep(views.filter((v) => v !== view))}
                />
              </li>
            ))}
          </ul>
          <Space.Compact block>
            <Input
              value={name}
              maxLength={60}
              placeholder={t.name}
              aria-label={t.name}
              onChange={(e) => setName(e.target.value)}
              onPressEnter={save}
            />
            <Button type="primary" disabled={!name.trim()} onClick={save}>
              {t.save}
            </Button>
          </Space.Compact>
        </div>
      }
    >
      {children}
    </Popover>
  )
}
