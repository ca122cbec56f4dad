/** What a client asked of the runtime beside the configuration. */

import { isSystemdPath } from '../../src/cgroup/path.ts'
import type { google } from '../proto/messages.gen.js'
import { containerd } from '../proto/messages.gen.js'
import type { TaskOptions } from './record.ts'

const RUNC = 'containerd.runc.v1.Options'

/**
 * Options of a type that is not known mean nothing to this runtime and are no error: CRI sends its own to any shim, and tells none but
 * runc's of `SystemdCgroup`. A path in systemd's form means that driver, whoever says it.
 */
export const taskOptions = (
  options: google.protobuf.Any.$Properties | null | undefined,
  cgroupsPath?: string,
): TaskOptions => {
  const systemd = isSystemdPath(cgroupsPath)
  if (options?.typeUrl !== RUNC) return systemd ? { systemdCgroup: true } : {}
  const runc = containerd.options.RuncOptions.decode(options.value ?? new Uint8Array(0))
  return {
    ...(runc.noPivotRoot ? { noPivot: true } : {}),
    ...(runc.noNewKeyring ? { noNewKeyring: true } : {}),
    ...(runc.systemdCgroup || systemd ? { systemdCgroup: true } : {}),
    ...(runc.ioUid === 0 ? {} : { ioUid: runc.ioUid }),
    ...(runc.ioGid === 0 ? {} : { ioGid: runc.ioGid }),
  }
}
