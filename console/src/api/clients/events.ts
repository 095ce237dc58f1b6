import { createClient } from '@connectrpc/connect'
import { EventService } from '../gen/gantry/v1/event_pb'
import { transport } from '../transport'

export const events = createClient(EventService, transport)
