/** Actions of a profile → values that a filter returns (linux/seccomp.h). */

import { MAX_ERRNO } from '../../spec/check-seccomp.ts'
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

/** The value for an action; `errnoRet` (checked in check-seccomp.ts) is the errno, or the message to a tracer, for those that take one. */
export const actionValue = (action: SeccompAction, errnoRet: number = EPERM): number =>
  (action in MAX_ERRNO ? ACTION_VALUES[action] | errnoRet : ACTION_VALUES[action]) >>> 0

/** Order in which the kernel prefers the verdicts of several filters: the smaller, the more it restricts (as signed numbers). */
const strictness = (value: number): number => actionOf(value) | 0

/** Whether a call that meets `value` gets no further than one that meets `other`. */
export const isAsStrict = (value: number, other: number): boolean => strictness(value) <= strictness(other)

/** Whether a call with this verdict is carried out, or the listener's affair: it is handed over before the first of these calls. */
export const runs = (value: number): boolean => {
  const action = actionOf(value)
  return action === RET.allow || action === RET.log || action === RET.notify
}
