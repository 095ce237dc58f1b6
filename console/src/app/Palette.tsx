import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { Input, Modal } from 'antd'
import { useDeferredValue, useEffect, useRef, useState, type KeyboardEvent } from 'react'
import { useNavigate } from 'react-router'
import { instances } from '@/api/clients/instances'
import { releases } from '@/api/clients/releases'
import { key } from '@/api/keys'
import { useMessages } from './i18n'
import { texts } from './messages'
import { useNamespace } from './namespace'
import { isPage } from './PageLink'
import { pages } from './pages'
import { matches, traceId } from './matching'
import { paths } from './paths'

interface Target {
  kind: string
  name: string
  to: string
}

/** Goes anywhere by typing: pages, services, documents, and a trace by its id. */
export default function Palette({ close }: { close: () => void }) {
  const all = useMessages(texts)
  const t = all.palette
  const namespace = useNamespace()
  const navigate = useNavigate()
  const [typed, setTyped] = useState('')
  const [at, setAt] = useState(0)
  const list = useRef<HTMLUListElement>(null)
  const search = useDeferredValue(typed.trim())
  const enabled = search.length >= 2
  const services = useQuery({
    queryKey: key('services', namespace, 'palette', search),
    queryFn: ({ signal }) => instances.listServices({ namespace, search, pageSize: 20 }, { signal }),
    enabled,
    placeholderData: keepPreviousData,
  })
  const documents = useQuery({
    queryKey: key('documents', namespace, 'palette', search),
    queryFn: ({ signal }) => releases.list({ namespace, search, pageSize: 20 }, { signal }),
    enabled,
    placeholderData: keepPreviousData,
  })
  const id = traceId(typed)
  const targets: Target[] = [
    ...(id ? [{ kind: t.trace, name: id, to: paths.trace(namespace, id) }] : []),
    ...pages
      .filter((page) => page.menu && (matches(typed, all.nav[page.menu]) || matches(typed, page.menu)))
      .map((page) => ({ kind: t.page, name: all.nav[page.menu!], to: paths[page.menu!](namespace) })),
    ...(enabled ? (services.data?.services ?? []) : []).map((s) => ({
      kind: t.service,
      name: s.ref?.service ?? '',
      to: paths.service(namespace, s.ref?.service ?? '', s.ref?.group),
    })),
    ...(enabled ? (documents.data?.documents ?? []) : []).map((d) => ({
      kind: t.document,
      name: `${d.ref?.kind}/${d.ref?.name}`,
      to: paths.document(namespace, d.ref?.kind ?? '', d.ref?.name ?? ''),
    })),
  ].filter((target) => isPage(target.to))
  const chosen = Math.min(at, targets.length - 1)
  useEffect(() => {
    list.current?.children[chosen]?.scrollIntoView({ block: 'nearest' })
  }, [chosen])
  const go = (target: Target | undefined) => {
    if (!target) return
    close()
    void navigate(target.to)
  }
  const onKey = (event: KeyboardEvent) => {
    // An input method that is composing has these keys for itself.
    if (event.nativeEvent.isComposing) return
    if (event.key === 'ArrowDown') setAt(Math.min(chosen + 1, targets.length - 1))
    else if (event.key === 'ArrowUp') setAt(Math.max(chosen - 1, 0))
    else if (event.key === 'Enter') go(targets[chosen])
    else return
    event.preventDefault()
  }
  return (
    <Modal
      open
      onCancel={close}
      footer={null}
      closable={false}
      title={null}
      width={560}
      style={{ top: 80 }}
      aria-label={t.label}
    >
      <Input
        autoFocus
        className="g-palette-input"
        size="large"
        variant="borderless"
        value={typed}
        maxLength={200}
        placeholder={t.placeholder}
        aria-label={t.label}
        role="combobox"
        aria-expanded
        aria-controls="palette-list"
        aria-activedescendant={targets[chosen] ? `palette-${chosen}` : undefined}
        onChange={(event) => {
          setTyped(event.target.value)
          setAt(0)
        }}
        onKeyDown={onKey}
      />
      <ul id="palette-list" ref={list} role="listbox" aria-label={t.label} className="g-palette">
        {targets.map((target, i) => (
          <li
            key={target.to + target.kind}
            id={`palette-${i}`}
            role="option"
            aria-selected={i === chosen}
            onMouseMove={() => setAt(i)}
            onClick={() => go(target)}
          >
            <span className="g-cut">{target.name}</span>
            <span className="g-secondary">{target.kind}</span>
          </li>
        ))}
      </ul>
      <div className="g-secondary g-palette-foot">{targets.length === 0 ? t.none : !enabled ? t.short : ''}</div>
    </Modal>
  )
}
