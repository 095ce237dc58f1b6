import { createClient } from '@connectrpc/connect'
import { LiveService } from '../gen/gantry/v1/live_pb'
import { transport } from '../transport'

export const live = createClient(LiveService, transport)
