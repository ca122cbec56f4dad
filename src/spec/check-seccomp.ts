import { type Finding, point } from './finding.ts'
import type { Seccomp, SeccompAction } from './types.ts'

/** Largest errno, or message to a tracer, of the actions that take one; the kernel would cut it. */
export const MAX_ERRNO: Readonly<Partial<Record<SeccompAction, number>>> = {
  SCMP_ACT_ERRNO: 4095,
  SCMP_ACT_TRACE: 0xffff,
}

function* checkErrno(action: SeccompAction, errno: number | undefined, pointer: string): Iterable<Finding> {
  if (errno === undefined) return
  const max = MAX_ERRNO[action]
  if (max === undefined) yield { pointer, message: `${action} takes no errno` }
  else if (errno > max) yield { pointer, message: `must be at most ${max} for ${action} (is ${errno})` }
}

/** An errno for an action that takes none is an error, as are metadata for nobody (config-linux.md, seccomp). */
export function* checkSeccomp(seccomp: Seccomp, at: string): Iterable<Finding> {
  if (seccomp.listenerMetadata && !seccomp.listenerPath) {
    yield { pointer: point(at, 'listenerMetadata'), message: 'needs listenerPath' }
  }
  yield* checkErrno(seccomp.defaultAction, seccomp.defaultErrnoRet, point(at, 'defaultErrnoRet'))
  for (const [index, { action, errnoRet }] of (seccomp.syscalls ?? []).entries()) {
    yield* checkErrno(action, errnoRet, point(at, 'syscalls', index, 'errnoRet'))
  }
}
