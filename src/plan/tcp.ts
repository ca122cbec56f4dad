/**
 * A filter beside Landlock's rules for TCP, for what these do not see (Linux 6.18, net/ipv4/tcp.c and security/landlock/net.c): a connection
 * that a send makes (MSG_FASTOPEN), and sockets of protocols that become TCP. Both look like a host without them, so that programs do without.
 * io_uring would send what no filter sees.
 */

import { enforceable } from '../policy/protections.ts'
import type { Confinement } from '../policy/types.ts'
import type { Seccomp } from '../spec/types.ts'
import type { Op } from './ops.ts'
import type { Arch } from './process.ts'
import { FOREIGN_ABIS } from './seccomp/abis.ts'
import { compileSeccomp } from './seccomp.ts'

const EPERM = 1
const EPROTONOSUPPORT = 93
const EOPNOTSUPP = 95
const MSG_FASTOPEN = 0x2000_0000n
/** IPPROTO_SMC, IPPROTO_MPTCP, and AF_SMC. */
const PROTOCOLS = [256n, 262n]
const AF_SMC = 43n
const refused = { action: 'SCMP_ACT_ERRNO', errnoRet: EPROTONOSUPPORT } as const
/** The kernel looks at 32 bits. */
const is = (index: number, value: bigint) =>
  ({ index, op: 'SCMP_CMP_MASKED_EQ', value: 0xffff_ffffn, valueTwo: value }) as const

const fastOpen = (names: readonly string[], index: number) =>
  ({
    names: [...names],
    action: 'SCMP_ACT_ERRNO',
    errnoRet: EOPNOTSUPP,
    args: [{ index, op: 'SCMP_CMP_MASKED_EQ', value: MSG_FASTOPEN, valueTwo: MSG_FASTOPEN }],
  }) as const

const FILTER: Seccomp = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [
    ...PROTOCOLS.map((protocol) => ({ ...refused, names: ['socket'], args: [is(2, protocol)] })),
    { ...refused, names: ['socket'], args: [is(0, AF_SMC)] },
    fastOpen(['sendto', 'sendmmsg'], 3),
    fastOpen(['sendmsg'], 2),
    { names: ['io_uring_setup'], action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
  ],
}

/** The filter that goes with lists of TCP's ports. */
export const planTcp = (confinement: Confinement | undefined, arch: Arch): Op[] => {
  const { policies = [], landlock = 0 } = confinement ?? {}
  if (!enforceable('tcp', landlock) || !policies.some(({ tcp }) => tcp?.connect ?? tcp?.bind)) return []
  const { program } = compileSeccomp({ ...FILTER, architectures: FOREIGN_ABIS[arch] }, { arch })
  return [{ op: 'seccomp', program, flags: 0, pointer: '/annotations' }]
}
