/**
 * Whether a container's init can still do, behind its filter, what is left to do (trap 21). Checked when a profile is compiled, so that a
 * profile that would leave a parked process stuck is an error of `create`, not a process that dies at `start`.
 */

import { ABIS, type Machine, NATIVE } from './abis.ts'
import { actionOf, ENOSYS, RET, runs } from './actions.ts'
import { interpret } from './interpret.ts'

/** A system call that init makes, with arguments as it passes them. Pointers and descriptors are examples. */
export interface Need {
  readonly name: string
  /** Alternatives of the arguments; every one is used. */
  readonly calls: readonly (readonly bigint[])[]
  /** Only an error report is lost without it. */
  readonly optional?: boolean
  /** There is another way where the kernel says ENOSYS. */
  readonly enosysOk?: boolean
}

const FD = 3n
const POINTER = 0x7ffc00001000n

const need = (name: string, ...calls: bigint[][]): Need => ({ name, calls: calls.length > 0 ? calls : [[]] })

/** With no_new_privs the filter comes last: reporting `parked`, waiting, and executing. */
export const AFTER_FILTER: readonly Need[] = [
  need('read', [FD, POINTER, 1n]),
  need('write', [FD, POINTER, 1n]),
  need('execve', [POINTER, POINTER, POINTER]),
  { ...need('exit_group', [1n]), optional: true },
]

const PR_SET_DUMPABLE = 4n
const PR_SET_KEEPCAPS = 8n
const PR_CAPBSET_READ = 23n
const PR_CAPBSET_DROP = 24n
const PR_CAP_AMBIENT = 47n

/** Without no_new_privs it takes a capability to load the filter, so the capabilities follow it. */
export const AFTER_EARLY_FILTER: readonly Need[] = [
  need(
    'prctl',
    [PR_SET_KEEPCAPS, 0n],
    [PR_SET_DUMPABLE, 0n],
    [PR_CAPBSET_READ, 0n],
    [PR_CAPBSET_DROP, 0n],
    [PR_CAP_AMBIENT, 4n, 0n],
    [PR_CAP_AMBIENT, 2n, 0n],
  ),
  need('capget', [POINTER, POINTER]),
  need('capset', [POINTER, POINTER]),
  ...AFTER_FILTER,
]

export interface Survival {
  /** System calls without which the container can't be started. */
  readonly blocked: readonly string[]
  /** System calls without which an error of start would be reported with less detail. */
  readonly degraded: readonly string[]
}

/** `noNewPrivileges` decides when the filter is loaded, and so what comes after it. */
export function checkSurvivable(
  program: Uint8Array,
  arch: Machine,
  options: { readonly noNewPrivileges: boolean },
): Survival {
  const abi = ABIS[NATIVE[arch]]
  const blocked: string[] = []
  const degraded: string[] = []
  for (const { name, calls, optional, enosysOk } of options.noNewPrivileges ? AFTER_FILTER : AFTER_EARLY_FILTER) {
    const nr = abi?.table().get(name)
    if (abi === undefined || nr === undefined) continue
    const refused = calls.some((args) => {
      const value = interpret(program, { nr, arch: abi.audit, args })
      if (runs(value)) return false
      return !(enosysOk && actionOf(value) === RET.errno && (value & 0xffff) === ENOSYS)
    })
    if (refused) (optional ? degraded : blocked).push(name)
  }
  return { blocked, degraded }
}
