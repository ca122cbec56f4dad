/** `checkpoint`: a running container's processes, written down by CRIU. */

import type { RunStep } from '../controller/types.ts'
import { checkDumpable, dump } from '../criu/dump.ts'
import type { DumpOptions } from '../criu/options.ts'
import { findCriu } from '../criu/program.ts'
import { BerthError } from '../errors.ts'
import { isRootless } from '../plan/facts.ts'
import { freezerDir } from '../plan/lifecycle.ts'
import { nodeOp } from '../policy/source.ts'
import type { Container } from './inspect.ts'
import { recompile } from './recompile.ts'
import type { ContainerState } from './state.ts'

export interface CheckpointInput {
  /** As the caller names it. */
  readonly criu: string | undefined
  readonly nodeConfig: string
  readonly images: string
  readonly work: string
  readonly options: DumpOptions
}

export const checkpointContainer = async (
  step: RunStep,
  { id, paths, state, status }: Container & { readonly state: ContainerState },
  { criu, nodeConfig, images, work, options }: CheckpointInput,
): Promise<void> => {
  checkDumpable(id, status)
  const { spec, facts, compiled } = await recompile(step, paths, state)
  if (isRootless(facts)) throw new BerthError('unsupported', "checkpoint: takes the host's root")
  const bytes = (await step('node', [nodeOp(nodeConfig)])).bytes(0)
  await dump(step, {
    criu: () => findCriu(step, criu, { path: nodeConfig, bytes }),
    spec,
    bundle: state.bundle,
    rootfs: state.rootfs,
    confinement: state.confinement,
    pid: state.init.pid,
    cgroups: compiled.cgroups,
    unified: facts.cgroup.mode === 'unified',
    freezer: freezerDir(state.cgroupPaths, facts.cgroup),
    images,
    work,
    options,
  })
}
