import { parseCpuList } from '../cgroup/cpu-list.ts'
import { type Finding, point, show } from './finding.ts'
import type { MemoryPolicy } from './types.ts'

const WITHOUT_NODES: ReadonlySet<MemoryPolicy['mode']> = new Set(['MPOL_DEFAULT', 'MPOL_LOCAL'])
/** With no node it is MPOL_LOCAL. */
const WITH_OR_WITHOUT = 'MPOL_PREFERRED'

/** set_mempolicy(2) refuses these combinations without saying which part it was. */
export function* checkMemoryPolicy({ mode, nodes = '', flags = [] }: MemoryPolicy, at: string): Iterable<Finding> {
  const named = nodes.trim() !== ''
  if (named && parseCpuList(nodes) === undefined) {
    yield { pointer: point(at, 'nodes'), message: `must be a list of nodes such as 0-3,7 (is ${show(nodes)})` }
  } else if (WITHOUT_NODES.has(mode) && named) {
    yield { pointer: point(at, 'nodes'), message: `must be empty for ${mode} (is ${show(nodes)})` }
  } else if (!WITHOUT_NODES.has(mode) && mode !== WITH_OR_WITHOUT && !named) {
    yield { pointer: point(at, 'nodes'), message: `must name a node for ${mode}` }
  }
  const static_ = flags.indexOf('MPOL_F_STATIC_NODES')
  const relative = flags.indexOf('MPOL_F_RELATIVE_NODES')
  if (static_ >= 0 && relative >= 0) {
    yield { pointer: point(at, 'flags', Math.max(static_, relative)), message: 'nodes are either static or relative' }
  }
  const balancing = flags.indexOf('MPOL_F_NUMA_BALANCING')
  if (balancing >= 0 && mode !== 'MPOL_BIND' && mode !== 'MPOL_PREFERRED_MANY') {
    yield {
      pointer: point(at, 'flags', balancing),
      message: `needs MPOL_BIND or MPOL_PREFERRED_MANY (mode is ${mode})`,
    }
  }
}
