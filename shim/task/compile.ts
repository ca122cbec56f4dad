/** What the methods use of the runtime: handed in, so that a test can stand in for it. */

import type { compileCreate } from '../../src/plan/create.ts'
import type { compileExec } from '../../src/plan/exec.ts'
import type { HostFacts, readFacts } from '../../src/plan/facts.ts'
import type { fillHoles, startPlan } from '../../src/plan/lifecycle.ts'
import type { Plan } from '../../src/plan/ops.ts'
import type { managerOf } from '../../src/plan/systemd.ts'
import type { planUpdate } from '../../src/plan/update.ts'
import type { checkLimits, limitProcess, limitSpec } from '../../src/policy/limits.ts'
import type { confinementOf, nodeOp } from '../../src/policy/source.ts'
import type { loadProcess, loadSpec } from '../../src/spec/load.ts'
import type { CgroupDirs } from './record.ts'

export interface Compiler {
  /** Operations that gather what `readFacts` reads; they have to be the first of their plan. */
  readonly factsPlan: Plan
  readonly readFacts: typeof readFacts
  readonly loadSpec: typeof loadSpec
  readonly loadProcess: typeof loadProcess
  readonly compileCreate: typeof compileCreate
  readonly compileExec: typeof compileExec
  readonly nodeOp: typeof nodeOp
  readonly confinementOf: typeof confinementOf
  readonly limitSpec: typeof limitSpec
  readonly limitProcess: typeof limitProcess
  readonly checkLimits: typeof checkLimits
  readonly planUpdate: typeof planUpdate
  readonly managerOf: typeof managerOf
  readonly startPlan: typeof startPlan
  readonly fillHoles: typeof fillHoles
}

const under = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`)

/** Which of a container's cgroup directories belongs to which controller. */
export const cgroupDirs = ({ cgroup }: HostFacts, paths: readonly string[]): CgroupDirs => {
  if (cgroup.mode === 'unified') return { version: 2, all: paths }
  const by: Record<string, number> = {}
  for (const { controllers, mountPoint } of cgroup.v1) {
    const index = paths.findIndex((path) => under(path, mountPoint))
    if (index >= 0) for (const controller of controllers) by[controller] = index
  }
  return { version: 1, all: paths, by }
}
