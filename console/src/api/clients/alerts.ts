import { createClient } from '@connectrpc/connect'
import { AlertService } from '../gen/gantry/v1/alert_pb'
import { transport } from '../transport'

export const alerts = createClient(AlertService, transport)
