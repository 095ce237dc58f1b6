import { createClient } from '@connectrpc/connect'
import { TraceService } from '../gen/gantry/v1/trace_pb'
import { transport } from '../transport'

export const traces = createClient(TraceService, transport)
