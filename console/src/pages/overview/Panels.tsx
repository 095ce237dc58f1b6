import { useQuery } from '@tanstack/react-query'
import { changesSince } from '@/api/changes'
import { key } from '@/api/keys'
import { figuresOf, instancesOf, servicesOf } from '@/api/fleet'
import { AlertsPanel } from './AlertsPanel'
import { AttentionPanel } from './AttentionPanel'
import { Cards } from './Cards'
import { ChangesPanel } from './ChangesPanel'
import { useTraffic } from './traffic'
import { TrafficPanel } from './TrafficPanel'

const hour = 3600_000

export default function Panels({ namespace }: { namespace: string }) {
  const services = useQuery(servicesOf(namespace))
  const instances = useQuery(instancesOf(namespace))
  const figures = useQuery(figuresOf(namespace))
  const changes = useQuery({
    queryKey: key('changes', namespace, 'hour'),
    queryFn: ({ signal }) => changesSince(namespace, hour, signal),
  })
  const traffic = useTraffic(namespace)
  return (
    <>
      <Cards services={services} instances={instances} traffic={traffic} />
      <div className="g-overview">
        <AlertsPanel namespace={namespace} />
        <AttentionPanel namespace={namespace} services={services} figures={figures} />
        <TrafficPanel traffic={traffic} changes={changes.data?.changes ?? []} />
        <ChangesPanel namespace={namespace} changes={changes} />
      </div>
    </>
  )
}
