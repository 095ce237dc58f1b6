import { Button, Select } from 'antd'
import { SwapOutlined } from '@ant-design/icons'
import { useSearchParams } from 'react-router'
import type { HistoryResponse, Version } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import { Empty } from '@/ui/Empty'
import { dateOf, dateTime } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { texts } from './messages'
import { type Reference } from './reference'
import { LayoutSwitch, VersionDiff, type Layout } from './VersionDiff'

/** The two versions that are compared: what the address says, otherwise what is in force against what came last. */
export function comparedVersions(
  parameters: URLSearchParams,
  history: HistoryResponse,
): { from: bigint; to: bigint } | undefined {
  const head = history.document!
  const numbers = history.versions.map((version) => version.version)
  const named = (name: string) => {
    const text = parameters.get(name)
    return text && /^\d{1,18}$/.test(text) ? BigInt(text) : undefined
  }
  const latest = head.latestVersion
  const before = numbers.find((number) => number < latest)
  const from =
    named('from') ?? (head.releasedVersion > 0n && head.releasedVersion !== latest ? head.releasedVersion : before)
  return from === undefined ? undefined : { from, to: named('to') ?? latest }
}

export function VersionSelect({
  versions,
  value,
  label,
  released,
  staged,
  set,
}: {
  versions: readonly Version[]
  value: bigint
  label: string
  released: bigint
  staged: bigint | undefined
  set: (version: bigint) => void
}) {
  const t = useMessages(texts)
  const stateOf = (version: string) =>
    version === String(released) ? t.phase.released : version === String(staged) ? t.phase.staged : ''
  return (
    <Select
      aria-label={label}
      className="g-document-version"
      value={String(value)}
      popupMatchSelectWidth={false}
      onChange={(text) => set(BigInt(text))}
      // In the field the version and its state; the list tells more.
      labelRender={({ value }) => [t.version(String(value)), stateOf(String(value))].filter(Boolean).join(' · ')}
      options={versions.map((version) => ({
        value: String(version.version),
        label: [
          t.version(String(version.version)),
          stateOf(String(version.version)),
          version.author,
          dateTime(dateOf(version.createdAt)),
        ]
          .filter(Boolean)
          .join(' · '),
      }))}
    />
  )
}

export function DiffTab({ reference: ref, history }: { reference: Reference; history: HistoryResponse }) {
  const t = useMessages(texts).diff
  const [parameters, setParameters] = useSearchParams()
  const compared = comparedVersions(parameters, history)
  if (!compared) return <Empty title={t.one}>{t.oneText}</Empty>
  const { from, to } = compared
  const layout: Layout =
    parameters.get('layout') === 'unified' || (!parameters.has('layout') && innerWidth < 768) ? 'unified' : 'split'
  const set = (change: Record<string, string>) =>
    setParameters(
      (before) => {
        before.set('from', String(from))
        before.set('to', String(to))
        for (const [name, value] of Object.entries(change)) before.set(name, value)
        return before
      },
      { replace: true },
    )
  const released = history.document!.releasedVersion
  const staged = history.document!.rollout?.version
  return (
    <Panel title={t.title} extra={<LayoutSwitch layout={layout} set={(value) => set({ layout: value })} />}>
      <div className="g-toolbar g-document-compare">
        <VersionSelect
          label={t.from}
          versions={history.versions}
          value={from}
          released={released}
          staged={staged}
          set={(version) => set({ from: String(version) })}
        />
        <Button
          icon={<SwapOutlined />}
          aria-label={t.swap}
          onClick={() => set({ from: String(to), to: String(from) })}
        />
        <VersionSelect
          label={t.to}
          versions={history.versions}
          value={to}
          released={released}
          staged={staged}
          set={(version) => set({ to: String(version) })}
        />
      </div>
      <VersionDiff reference={ref} from={from} to={to} sensitive={history.document!.sensitive} layout={layout} />
    </Panel>
  )
}
