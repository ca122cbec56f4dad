/** Actions of a profile → values that a filter returns (linux/seccomp.h). */

import { BerthError } from '../../errors.ts'
import type { SeccompAction } from '../../spec/types.ts'

export const RET = {
  killProcess: 0x80000000,
  killThread: 0x00000000,
  trap: 0x00030000,
  errno: 0x00050000,
  notify: 0x7fc00000,
  trace: 0x7ff00000,
  log: 0x7ffc0000,
  allow: 0x7fff0000,
} as const

/** The action's part of a return value; the rest is data. */
export const actionOf = (value: number): number => (value & 0xffff0000) >>> 0

export const EPERM = 1
export const ENOSYS = 38

/** Errors above this are cut to it by the kernel (MAX_ERRNO). */
const MAX_ERRNO = 4095
const MAX_DATA = 0xffff

export const ACTION_VALUES: Readonly<Record<SeccompAction, number>> = {
  SCMP_ACT_KILL: RET.killThread,
  SCMP_ACT_KILL_THREAD: RET.killThread,
  SCMP_ACT_KILL_PROCESS: RET.killProcess,
  SCMP_ACT_TRAP: RET.trap,
  SCMP_ACT_ERRNO: RET.errno,
  SCMP_ACT_TRACE: RET.trace,
  SCMP_ACT_NOTIFY: RET.notify,
  SCMP_ACT_LOG: RET.log,
  SCMP_ACT_ALLOW: RET.allow,
}

/**
 * The value for an action. `errnoRet` is the errno, or the message to a tracer (default EPERM); an action that takes none is an error, as
 * the specification wants. `pointer` is where the action stands, `errnoPointer` where its errno does.
 */
export function actionValue(
  action: SeccompAction,
  errnoRet: number | undefined,
  pointer: string,
  errnoPointer: string,
): number {
  const value = ACTION_VALUES[action]
  if (value === undefined) throw new BerthError('invalid', `seccomp: unknown action "${action}"`, { pointer })
  if (value === RET.errno || value === RET.trace) {
    const data = errnoRet ?? EPERM
    const max = value === RET.errno ? MAX_ERRNO : MAX_DATA
    if (!Number.isInteger(data) || data < 0 || data > max) {
      throw new BerthError('invalid', `seccomp: ${data} is not between 0 and ${max}`, { pointer: errnoPointer })
    }
    return (value | data) >>> 0
  }
  if (errnoRet !== undefined) {
    throw new BerthError('invalid', `seccomp: ${action} takes no errno`, { pointer: errnoPointer })
  }
  return value
}

/** Order in which the kernel prefers the verdicts of several filters: the smaller, the more it restricts (as signed numbers). */
const strictness = (value: number): number => actionOf(value) | 0

/** Whether a call that meets `value` gets no further than one that meets `other`. */
export const isAsStrict = (value: number, other: number): boolean => strictness(value) <= strictness(other)

/** Whether a call with this verdict is carried out, or the listener's affair: it is handed over before the first of these calls. */
export const runs = (value: number): boolean => {
  const action = actionOf(value)
  return action === RET.allow || action === RET.log || action === RET.notify
}
