import { createClient } from '@connectrpc/connect'
import { ReleaseService } from '../gen/gantry/v1/release_pb'
import { transport } from '../transport'

export const releases = createClient(ReleaseService, transport)
