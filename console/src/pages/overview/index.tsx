import { useQuery } from '@tanstack/react-query'
import { topology } from '@/api/clients'
import { key } from '@/api/keys'
import { allInstances, allServices } from '@/api/paged'
import { changesSince } from '@/api/changes'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { Page } from '@/ui/Page'
import { AlertsPanel } from './AlertsPanel'
import { AttentionPanel } from './AttentionPanel'
import { ChangesPanel } from './ChangesPanel'
import { Cards } from './Cards'
import { texts } from './messages'
import { useTraffic } from './traffic'
import { TrafficPanel } from './TrafficPanel'
import './overview.css'

const hour = 3600_000

/** Is the fleet well, what was changed in the last hour, and what fires. */
export default function Overview() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  const services = useQuery({
    queryKey: key('services', namespace, 'all'),
    queryFn: ({ signal }) => allServices(namespace, signal),
  })
  const instances = useQuery({
    queryKey: key('services', namespace, 'instances'),
    queryFn: ({ signal }) => allInstances(namespace, signal),
  })
  const figures = useQuery({
    queryKey: key('figures', namespace, 'services'),
    queryFn: ({ signal }) => topology.serviceFigures({ namespace }, { signal }),
  })
  const changes = useQuery({
    queryKey: key('changes', namespace, 'hour'),
    queryFn: ({ signal }) => changesSince(namespace, hour, signal),
  })
  const traffic = useTraffic(namespace)
  return (
    <Page
      title={t.title}
      same={{
        command: ['red', '-n', namespace, '--since', '1h'],
        call: { method: 'gantry.v1.TopologyService/ServiceFigures', message: { namespace } },
      }}
    >
      <Cards services={services} instances={instances} traffic={traffic} />
      <div className="g-overview">
        <AlertsPanel namespace={namespace} />
        <AttentionPanel namespace={namespace} services={services} figures={figures} />
        <TrafficPanel traffic={traffic} changes={changes.data?.changes ?? []} />
        <ChangesPanel namespace={namespace} changes={changes} />
      </div>
    </Page>
  )
}
