/** Entry of the shim for the controller. */

import type { CreateShim } from '../src/controller/types.ts'
import { compileCreate } from '../src/plan/create.ts'
import { compileExec } from '../src/plan/exec.ts'
import { factsPlan, readFacts } from '../src/plan/facts.ts'
import { fillHoles, startPlan } from '../src/plan/lifecycle.ts'
import { managerOf } from '../src/plan/systemd.ts'
import { planUpdate } from '../src/plan/update.ts'
import { checkLimits, limitProcess, limitSpec } from '../src/policy/limits.ts'
import { confinementOf, nodeOp } from '../src/policy/source.ts'
import { loadProcess, loadSpec } from '../src/spec/load.ts'
import { shimWith } from './shim.ts'
import type { Compiler } from './task/compile.ts'

const compiler: Compiler = {
  factsPlan,
  readFacts,
  loadSpec,
  loadProcess,
  compileCreate,
  compileExec,
  nodeOp,
  confinementOf,
  limitSpec,
  limitProcess,
  checkLimits,
  planUpdate,
  managerOf,
  startPlan,
  fillHoles,
}

const known: Parameters<typeof shimWith>[2] = new Map()

export const createShim: CreateShim = (monitor) => shimWith(monitor, compiler, known)
