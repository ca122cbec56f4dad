/** Operations on a cgroup's directory that every kind of host has. */

import type { Setting } from '../cgroup/setting.ts'
import { BerthError } from '../errors.ts'
import { DIR_FLAGS, type Op, WRITE_FLAGS } from './ops.ts'

export const POINTER = '/linux/cgroupsPath'

export const write = (path: string, value: string, pointer: string, opFlags = 0, flags = 0): Op => ({
  op: 'write',
  path,
  data: [value],
  flags,
  mode: 0,
  opFlags,
  pointer,
})

export const makeCgroup = (path: string): Op => ({
  op: 'mkdir',
  path,
  mode: 0o755,
  flags: DIR_FLAGS.parents | DIR_FLAGS.existOk,
  pointer: POINTER,
})

/** A limit is put in force. */
export const settingOp = (dir: string, { file, value, source, optional }: Setting): Op =>
  write(`${dir}/${file}`, value, source, 0, optional ? WRITE_FLAGS.missingOk : 0)

export const missingController = (setting: Setting): BerthError =>
  new BerthError(
    'unsupported',
    `${setting.source.slice(1).replaceAll('/', '.')}: the cgroup controller "${setting.controller}" is not available on this host`,
    { pointer: setting.source },
  )
