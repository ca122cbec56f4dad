/** What a client asked of the runtime beside the configuration. */

import type { google } from '../proto/messages.gen.js'
import { containerd } from '../proto/messages.gen.js'
import type { TaskOptions } from './record.ts'

const RUNC = 'containerd.runc.v1.Options'

/** Options of a type that is not known mean nothing to this runtime and are no error: CRI sends its own to any shim. */
export const taskOptions = (options: google.protobuf.Any.$Properties | null | undefined): TaskOptions => {
  if (options?.typeUrl !== RUNC) return {}
  const runc = containerd.options.RuncOptions.decode(options.value ?? new Uint8Array(0))
  return {
    ...(runc.noPivotRoot ? { noPivot: true } : {}),
    ...(runc.noNewKeyring ? { noNewKeyring: true } : {}),
    ...(runc.systemdCgroup ? { systemdCgroup: true } : {}),
    ...(runc.ioUid === 0 ? {} : { ioUid: runc.ioUid }),
  }
}
