import { createClient } from '@connectrpc/connect'
import { InstanceService } from '../gen/gantry/v1/instance_pb'
import { transport } from '../transport'

export const instances = createClient(InstanceService, transport)
