/** linux.sysctl → writes below /proc/sys, of what belongs to the container's namespaces and nothing else. */

import { BerthError } from '../errors.ts'
import { sysctlNamespace, sysctlPath } from '../spec/sysctl.ts'
import type { Spec } from '../spec/types.ts'
import type { Namespaces } from './namespaces.ts'
import type { Op } from './ops.ts'

export const planSysctls = (spec: Spec, namespaces: Namespaces): Op[] =>
  Object.entries(spec.linux?.sysctl ?? {}).map(([key, value]) => {
    const pointer = `/linux/sysctl/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const refuse = (why: string) => new BerthError('invalid', `linux.sysctl: "${key}" ${why}`, { pointer })
    const path = sysctlPath(key)
    if (path === undefined) throw refuse('is not the name of a setting')
    // Anything that no namespace keeps apart is the host's.
    const type = sysctlNamespace(path)
    if (type === undefined) throw refuse('is a setting of the whole host')
    if (!namespaces.has(type)) throw refuse(`needs a ${type} namespace that is not the host's`)
    return { op: 'sysctl', key: path, value, pointer }
  })
