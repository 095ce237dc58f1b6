import type { UseQueryResult } from '@tanstack/react-query'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { Tag } from 'antd'
import { useMemo } from 'react'
import { instancesOf } from '@/api/fleet'
import type { AppliedResponse, PreviewResponse, Subject } from '@/api/gen/gantry/v1/release_pb'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { PageLink } from '@/app/PageLink'
import { paths } from '@/app/paths'
import { Answer } from '@/ui/Answer'
import { count, share } from '@/ui/format'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { countBy } from './history'
import { texts } from './messages'

interface Chosen {
  subject: Subject
  id: string
  program: string
  /** Whether it reports what it runs of this document, and which version that is. */
  runs: bigint | undefined
}

const idOf = (subject: Subject | undefined) =>
  `${subject?.service?.group || 'default'}/${subject?.service?.service}/${subject?.instanceId}`

/** Who will get it, before anybody does. */
export function PreviewPanel({
  preview,
  applied,
}: {
  preview: UseQueryResult<PreviewResponse>
  applied: UseQueryResult<AppliedResponse>
}) {
  const t = useMessages(texts).preview
  const namespace = useNamespace()
  const instances = useQuery({ ...instancesOf(namespace), placeholderData: keepPreviousData })
  const versions = useMemo(() => {
    const found = new Map<string, string>()
    for (const i of instances.data ?? [])
      found.set(`${i.service?.group || 'default'}/${i.service?.service}/${i.id}`, i.labels['version'] ?? '')
    return found
  }, [instances.data])
  const runs = useMemo(
    () => new Map((applied.data?.reports ?? []).map((report) => [idOf(report.subject), report.version])),
    [applied.data],
  )
  const columns: Column<Chosen>[] = [
    {
      key: 'service',
      title: t.service,
      width: '1fr',
      compare: (a, b) => (a.id < b.id ? -1 : 1),
      render: ({ subject }) => (
        <PageLink to={paths.service(namespace, subject.service?.service ?? '', subject.service?.group || undefined)}>
          {subject.service?.service}
        </PageLink>
      ),
    },
    {
      key: 'instance',
      title: t.instance,
      width: '2fr',
      render: ({ subject }) => <span className="g-mono">{subject.instanceId}</span>,
    },
    {
      key: 'program',
      title: t.program,
      width: 104,
      compare: (a, b) => (a.program < b.program ? -1 : 1),
      render: ({ program }) => program,
    },
    {
      key: 'address',
      title: t.address,
      width: 144,
      render: ({ subject }) => <span className="g-mono">{subject.address}</span>,
    },
    {
      key: 'runs',
      title: t.runs,
      width: 136,
      compare: (a, b) => Number((b.runs ?? -1n) - (a.runs ?? -1n)),
      render: ({ runs }) =>
        runs === undefined ? <span className="g-secondary">{t.notFollowing}</span> : t.version(String(runs)),
    },
  ]
  return (
    <Answer query={preview} count={4}>
      {(answer) => {
        const rows: Chosen[] = answer.chosen.map((subject) => ({
          subject,
          id: idOf(subject),
          program: versions.get(idOf(subject)) || subject.labels['version'] || '',
          runs: runs.get(idOf(subject)),
        }))
        const following = rows.filter((row) => row.runs !== undefined)
        const groups = countBy(following, (row) =>
          [row.subject.service?.service, row.program].filter(Boolean).join(' '),
        )
        const most = groups[0]?.count ?? 1
        return (
          <div className={preview.isPlaceholderData ? 'g-document-preview g-document-old' : 'g-document-preview'}>
            <p role="status">
              <strong>{t.following(following.length, [...runs].length)}</strong>{' '}
              <span className="g-secondary">
                {t.chosen(
                  count(rows.length),
                  count(answer.total),
                  share(answer.total ? rows.length / answer.total : 0),
                )}
              </span>
            </p>
            {groups.length > 0 && (
              <ul className="g-document-groups" aria-label={t.byService}>
                {groups.slice(0, 12).map((group) => (
                  <li key={group.name}>
                    <span className="g-cut">{group.name}</span>
                    <span className="g-document-meter" aria-hidden>
                      <span style={{ width: `${(100 * group.count) / most}%` }} />
                    </span>
                    <span className="g-num">{count(group.count)}</span>
                  </li>
                ))}
                {groups.length > 12 && <li className="g-secondary">{t.more(groups.length - 12)}</li>}
              </ul>
            )}
            {rows.length > 0 && following.length === 0 && <Tag color="warning">{t.nobodyFollows}</Tag>}
            <VirtualTable
              label={t.title}
              rows={rows}
              columns={columns}
              rowKey={(row) => row.id}
              initialSort={{ key: 'runs', descending: false }}
              height={320}
              empty={<p className="g-secondary g-document-pad">{t.nobody}</p>}
            />
          </div>
        )
      }}
    </Answer>
  )
}
