/** Checkpoint: the processes of a task, written down by CRIU; the task goes on, or ends with that. */

import { posix } from 'node:path'
import { dump } from '../../src/criu/dump.ts'
import { checkCgroupsMode, checkEmptyNamespaces, type DumpOptions } from '../../src/criu/options.ts'
import { findCriu } from '../../src/criu/program.ts'
import { planCgroups } from '../../src/plan/cgroups.ts'
import { keptPolicies } from '../../src/policy/kept.ts'
import type { containerd } from '../proto/messages.gen.js'
import { Code, RpcError } from '../ttrpc/status.ts'
import type { Method } from './call.ts'
import { readConfig, taskDir } from './create.ts'
import { checkpointOptions } from './options.ts'
import { cgroupDir, getTask } from './record.ts'
import { workDir } from './restore.ts'
import { wrongState } from './status.ts'

const answer = new Uint8Array(0)

export const checkpoint: Method<containerd.task.CheckpointRequest> = async (env, request, step) => {
  const { id, path } = request
  const task = getTask(env.record(), id)
  if (task.status !== 'running' && task.status !== 'paused') throw wrongState.checkpoint(task.status)
  if (!path.startsWith('/')) throw new RpcError(Code.invalidArgument, `checkpoint ${id}: no directory for the images`)
  const asked = checkpointOptions(request.options)
  const options = dumpOptions(asked)
  const { spec, facts, node } = await readConfig(env, task.bundle, task.stdio.terminal, step)
  const { dirs } = planCgroups({ id, spec, facts, systemd: task.options.systemdCgroup ?? false })
  await dump(step, {
    criu: () => findCriu(step, task.options.criuPath, node),
    spec,
    bundle: task.bundle,
    rootfs: posix.resolve(task.bundle, spec.root?.path ?? ''),
    confinement: await keptPolicies(step, taskDir(env, id), task),
    pid: task.process.pid,
    cgroups: dirs,
    unified: facts.cgroup.mode === 'unified',
    freezer: cgroupDir(task.cgroups, 'freezer'),
    images: path,
    work: asked.workPath || workDir(taskDir(env, id), task.options),
    options,
  })
  return () => ({ answer })
}

const dumpOptions = (asked: containerd.options.CheckpointOptions): DumpOptions => ({
  leaveRunning: !asked.exit,
  tcpEstablished: asked.openTcp,
  extUnixSk: asked.externalUnixSockets,
  shellJob: asked.terminal,
  fileLocks: asked.fileLocks,
  emptyNamespaces: checkEmptyNamespaces(asked.emptyNamespaces, 'empty_namespaces'),
  ...(asked.cgroupsMode === '' ? {} : { cgroupsMode: checkCgroupsMode(asked.cgroupsMode, 'cgroups_mode') }),
  ...(asked.parentPath === '' ? {} : { parent: asked.parentPath }),
})
