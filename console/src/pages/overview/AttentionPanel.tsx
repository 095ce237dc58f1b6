import type { UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import type { Service } from '@/api/gen/gantry/v1/instance_pb'
import type { ServiceFiguresResponse } from '@/api/gen/gantry/v1/topology_pb'
import { useMessages } from '@/app/i18n'
import { afterPaint } from '@/app/loadable'
import { Answer } from '@/ui/Answer'
import { Empty } from '@/ui/Empty'
import { Loading } from '@/ui/Loading'
import { Panel } from '@/ui/Page'
import { StateTag } from '@/ui/StateTag'
import { texts } from './messages'
import { attention } from './summary'

const AttentionTable = afterPaint(() => import('./AttentionTable'), <Loading count={3} />)

export function AttentionPanel({
  namespace,
  services,
  figures,
}: {
  namespace: string
  services: UseQueryResult<Service[]>
  figures: UseQueryResult<ServiceFiguresResponse>
}) {
  const t = useMessages(texts)
  const rows = useMemo(
    () => attention(services.data ?? [], figures.data?.services ?? []),
    [services.data, figures.data],
  )
  return (
    <Panel title={t.attention} className="g-panel-flush" extra={<span className="g-secondary">{t.recent}</span>}>
      <Answer query={services} count={3}>
        {(all) =>
          all.length === 0 ? (
            <Empty title={t.noServicesYet}>{t.noServicesText}</Empty>
          ) : rows.length === 0 ? (
            <p className="g-overview-well">
              <StateTag state="healthy">{t.attentionNone}</StateTag>
            </p>
          ) : (
            <AttentionTable namespace={namespace} rows={rows} />
          )
        }
      </Answer>
    </Panel>
  )
}
