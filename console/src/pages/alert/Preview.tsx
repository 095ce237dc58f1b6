import { useMutation } from '@tanstack/react-query'
import { Button } from 'antd'
import { alerts } from '@/api/clients/alerts'
import { releases } from '@/api/clients/releases'
import type { AlertEpisode, PreviewAlertResponse } from '@/api/gen/gantry/v1/alert_pb'
import { useMessages } from '@/app/i18n'
import { ownLabels } from '@/pages/alerts/model'
import { Empty } from '@/ui/Empty'
import { Failure } from '@/ui/Failure'
import { count, dateOf } from '@/ui/format'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { Time } from '@/ui/Time'
import type { UsedTimeRange } from '@/ui/timeRange'
import { VirtualTable, type Column } from '@/ui/VirtualTable'
import { texts } from './messages'

/** The server gives a preview a minute. */
const timeoutMs = 90_000

/** Goes through the time with the version in force: how noisy is the rule? Asked for by a click, because it costs the server a query a step. */
export function Preview({
  namespace,
  kind,
  name,
  range,
}: {
  namespace: string
  kind: string
  name: string
  range: UsedTimeRange
}) {
  const t = useMessages(texts)
  const preview = useMutation({
    mutationFn: async () => {
      const { version } = await releases.get({ ref: { namespace, kind, name } })
      return alerts.previewAlert(
        { namespace, kind, name, format: version?.format, content: version?.content, ...range.timestamps() },
        { timeoutMs },
      )
    },
  })
  return (
    <Panel
      title={t.preview}
      extra={
        <Button size="small" loading={preview.isPending} onClick={() => preview.mutate()}>
          {t.previewRun}
        </Button>
      }
    >
      {preview.error && <Failure error={preview.error} />}
      {preview.data ? <Found answer={preview.data} /> : <p className="g-secondary g-alert-note">{t.previewText}</p>}
    </Panel>
  )
}

function Found({ answer }: { answer: PreviewAlertResponse }) {
  const t = useMessages(texts)
  const columns: Column<AlertEpisode>[] = [
    { key: 'from', title: t.from, width: 168, render: (one) => <Time at={dateOf(one.activeAt)} /> },
    {
      key: 'fired',
      title: t.fired,
      width: 168,
      render: (one) =>
        one.firedAt ? <Time at={dateOf(one.firedAt)} /> : <StateTag state="pending">{t.onlyPending}</StateTag>,
    },
    {
      key: 'until',
      title: t.until,
      width: 168,
      render: (one) =>
        one.endedAt ? <Time at={dateOf(one.endedAt)} /> : <StateTag state="firing">{t.stillOn}</StateTag>,
    },
    {
      key: 'labels',
      title: t.labels,
      width: '1fr',
      render: (one) =>
        ownLabels(one.labels)
          .map(([label, value]) => (label === 'service' ? value : `${label}=${value}`))
          .join(' '),
    },
    {
      key: 'peak',
      title: t.peak,
      width: 96,
      align: 'right',
      render: (one) => count(Number(one.peak.toPrecision(4))),
    },
  ]
  const fired = answer.episodes.filter((one) => one.firedAt).length
  return (
    <>
      <p className="g-alert-note">
        {t.episodes(fired, answer.evaluations)}
        {answer.cut && <span className="g-danger"> {t.cut}</span>}
        {answer.failed > 0 && <span className="g-danger"> {t.failedTimes(answer.failed, answer.error)}</span>}
        {answer.waiting && <span className="g-secondary"> {answer.waiting}</span>}
      </p>
      <VirtualTable
        label={t.preview}
        rows={answer.episodes}
        columns={columns}
        rowKey={(one) => `${one.activeAt?.seconds} ${JSON.stringify(one.labels)}`}
        height={320}
        empty={<Empty title={t.neverFired} />}
      />
    </>
  )
}
