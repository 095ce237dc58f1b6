import { createClient } from '@connectrpc/connect'
import { TopologyService } from '../gen/gantry/v1/topology_pb'
import { transport } from '../transport'

export const topology = createClient(TopologyService, transport)
