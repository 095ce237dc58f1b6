import { createClient } from '@connectrpc/connect'
import { ClusterService } from '../gen/gantry/v1/cluster_pb'
import { transport } from '../transport'

export const cluster = createClient(ClusterService, transport)
