/** linux.netDevices → moves of the host's network devices into the container's network namespace. */

import { BerthError } from '../errors.ts'
import { point } from '../spec/finding.ts'
import type { Spec } from '../spec/types.ts'
import type { HostFacts } from './facts.ts'
import type { Op } from './ops.ts'

const CAP_NET_ADMIN = 1n << 12n

/** Outside, between the clone and the process's first step. */
export const planNetDevices = ({ linux }: Spec, facts: HostFacts): Op[] => {
  const devices = Object.entries(linux?.netDevices ?? {})
  if (devices.length > 0 && (facts.permitted & CAP_NET_ADMIN) === 0n)
    throw new BerthError(
      'unsupported',
      "linux.netDevices: taking devices from the host's network namespace needs CAP_NET_ADMIN",
      { pointer: '/linux/netDevices' },
    )
  return devices.map(([device, { name }]) => ({
    op: 'net-device',
    device,
    name: name || device,
    pointer: point('/linux/netDevices', device),
  }))
}
