import type { UseQueryResult } from '@tanstack/react-query'
import type { Instance, Service } from '@/api/gen/gantry/v1/instance_pb'
import { useMessages } from '@/app/i18n'
import { Failure } from '@/ui/Failure'
import { Figure } from '@/ui/Figure'
import { count, rate, seconds, share } from '@/ui/format'
import { Loading } from '@/ui/Loading'
import { texts } from './messages'
import { countInstances, countServices } from './summary'
import { last, type Traffic } from './traffic'

export function Cards({
  services,
  instances,
  traffic,
}: {
  services: UseQueryResult<Service[]>
  instances: UseQueryResult<Instance[]>
  traffic: UseQueryResult<Traffic>
}) {
  const t = useMessages(texts)
  const failed = [services, instances, traffic].find((query) => query.error)
  if ([services, instances, traffic].every((query) => query.isPending)) return <Loading shape="cards" count={5} />
  const bySort = countServices(services.data ?? [])
  const states = countInstances(instances.data ?? [])
  const errors = last(traffic.data?.errors)
  return (
    <>
      {failed && <Failure error={failed.error} retry={() => void failed.refetch()} />}
      <div className="g-cards">
        <Figure
          label={t.services}
          value={count(services.data?.length)}
          tone={bySort.unavailable > 0 ? 'bad' : bySort.degraded > 0 ? 'warn' : undefined}
          detail={
            !services.data
              ? undefined
              : services.data.length === 0
                ? t.noServices
                : bySort.degraded + bySort.unavailable > 0
                  ? t.notWell(bySort.degraded, bySort.unavailable)
                  : t.allWell
          }
        />
        <Figure
          label={t.instances}
          value={count(instances.data?.length)}
          tone={states.lost > 0 ? 'bad' : undefined}
          detail={instances.data && t.instanceStates(states)}
        />
        <Figure label={t.rate} value={rate(last(traffic.data?.rate))} trend={traffic.data?.rate} />
        <Figure
          label={t.errors}
          value={share(errors)}
          trend={traffic.data?.errors}
          tone={errors !== undefined && errors > 0.01 ? 'bad' : undefined}
        />
        <Figure label={t.p99} value={seconds(last(traffic.data?.p99))} trend={traffic.data?.p99} />
      </div>
    </>
  )
}
