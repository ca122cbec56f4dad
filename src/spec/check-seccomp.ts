import { type Finding, point, show } from './finding.ts'
import type { Seccomp, SeccompAction } from './types.ts'

const TAKES_ERRNO: ReadonlySet<SeccompAction> = new Set(['SCMP_ACT_ERRNO', 'SCMP_ACT_TRACE'])

/** An errno for an action that takes none is an error, as are metadata for nobody (config-linux.md, seccomp). */
export function* checkSeccomp(seccomp: Seccomp, at: string): Iterable<Finding> {
  if (seccomp.listenerMetadata && !seccomp.listenerPath) {
    yield { pointer: point(at, 'listenerMetadata'), message: 'needs listenerPath' }
  }
  if (seccomp.listenerPath && !seccomp.listenerPath.startsWith('/')) {
    yield { pointer: point(at, 'listenerPath'), message: `must be an absolute path (is ${show(seccomp.listenerPath)})` }
  }
  if (seccomp.defaultErrnoRet !== undefined && !TAKES_ERRNO.has(seccomp.defaultAction)) {
    yield { pointer: point(at, 'defaultErrnoRet'), message: `${seccomp.defaultAction} takes no errno` }
  }
  for (const [index, { action, errnoRet }] of (seccomp.syscalls ?? []).entries()) {
    if (errnoRet !== undefined && !TAKES_ERRNO.has(action)) {
      yield { pointer: point(at, 'syscalls', index, 'errnoRet'), message: `${action} takes no errno` }
    }
  }
}
