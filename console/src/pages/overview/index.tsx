import { afterPaint } from '@/app/loadable'
import { useMessages } from '@/app/i18n'
import { useNamespace } from '@/app/namespace'
import { Loading } from '@/ui/Loading'
import { Page } from '@/ui/Page'
import { texts } from './messages'
import './overview.css'

const Panels = afterPaint(() => import('./Panels'), <Loading shape="cards" count={5} />)

/** Is the fleet well, what was changed in the last hour, and what fires. */
export default function Overview() {
  const t = useMessages(texts)
  const namespace = useNamespace()
  return (
    <Page
      title={t.title}
      same={{
        command: ['red', '-n', namespace, '--since', '1h'],
        call: { method: 'gantry.v1.TopologyService/ServiceFigures', message: { namespace } },
      }}
    >
      <Panels namespace={namespace} />
    </Page>
  )
}
