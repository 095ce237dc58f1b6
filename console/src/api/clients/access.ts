import { createClient } from '@connectrpc/connect'
import { AccessService } from '../gen/gantry/v1/access_pb'
import { transport } from '../transport'

export const access = createClient(AccessService, transport)
