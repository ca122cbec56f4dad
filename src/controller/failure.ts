/** The sentence a failed operation becomes. */

import { BerthError } from '../errors.ts'
import { missingCall } from '../host/kernel.ts'
import { type ErrorRecord, findOp } from '../plan/encode.ts'
import type { Plan } from '../plan/ops.ts'
import { ERRNO, errnoName, errnoText } from './errno.ts'

/** Operations whose name is not what a person would call them. */
const ACTIONS: Readonly<Record<string, string>> = {
  'mount-in': 'mount',
  'mount-source': 'open mount',
  attach: 'mount',
  'map-ids': 'map ids',
  'open-namespace': 'open namespace',
  'open-root': 'open root',
  'enter-root': 'enter root',
  deny: 'hide',
  landlock: 'make Landlock domain',
  'landlock-enter': 'enter Landlock domain',
  'mount-cgroups': 'mount cgroups',
  'device-filter': 'set device rules',
  'subtree-control': 'enable cgroup controllers',
  vacant: 'use cgroup',
  'kill-cgroup': 'kill cgroup',
  'wait-cgroup': 'wait for cgroup',
  'wait-exit': 'wait for process',
  pidfd: 'find',
  alive: 'exec beside',
  'send-fd': 'send descriptor',
  'open-fifo': 'open FIFO',
  spawn: 'start',
  'end-spawned': 'end',
  'chown-slot': 'chown stdio',
  'keep-pipe': 'keep',
  'oom-score': 'set oom_score_adj',
  'no-new-privs': 'set no_new_privs',
  'lsm-exec': 'set LSM label',
  'chown-stdio': 'chown stdio',
  'close-fds': 'close descriptors',
  'remount-root': 'remount root',
  'caps-bounding': 'drop capabilities',
  caps: 'set capabilities',
  dbus: 'call systemd',
  pivot: 'pivot root',
  rmtree: 'remove',
  'host-root': 'mount root',
  'layer-scan': 'look for changes in',
  'layer-remove': 'remove',
  'layer-place': 'copy',
  'layer-link': 'link',
  'layer-attributes': 'copy attributes of',
  stored: 'run the stored plan',
  remote: 'reach monitor',
  user: 'set user',
  list: 'read directory',
}

/** `mount "/proc/sys": permission denied (EPERM)`; the system call is named where the action does not say it. */
export const failureText = ({ op, syscall, subject, errno, detail }: ErrorRecord): string => {
  if (op === 'find-exec') return execText(subject, errno, detail)
  const action = ACTIONS[op] ?? op
  const where = subject === '' ? action : `${action} "${subject}"`
  const parts = where === '' ? [] : [where]
  if (errno !== 0) {
    const by = syscall === '' || action.split(' ').includes(syscall) ? '' : ` in ${syscall}`
    parts.push(`${errnoText(errno)} (${errnoName(errno)}${by})`)
  }
  const missing = errno === ERRNO.ENOSYS ? missingCall(syscall) : undefined
  if (missing !== undefined) parts.push(missing)
  const more = detail.trim()
  if (more !== '') parts.push(more)
  return parts.join(': ')
}

/** Engines look for runc's words (Go's exec.LookPath) to give exit codes 126 and 127. */
const execText = (name: string, errno: number, detail: string): string => {
  const what = `exec: ${JSON.stringify(name)}`
  if (errno === ERRNO.ENOENT)
    return name.includes('/')
      ? `${what}: stat ${name}: no such file or directory`
      : `${what}: executable file not found in $PATH`
  if (errno === ERRNO.EACCES) return `${what}: permission denied${detail === '' ? '' : `: ${detail}`}`
  return `${what}: ${errno === 0 ? detail : errnoText(errno)}`
}

/** The error of a failed step. */
export const stepError = (plan: Plan, record: ErrorRecord): BerthError => {
  const found = findOp(plan, record.index)
  // The only hooks that run in a process whose plan is no part of this one.
  const pointer = found?.op === 'resume' && record.op === 'hook' ? '/hooks/startContainer' : found?.pointer
  return new BerthError('failed', failureText(record), {
    ...(pointer === undefined ? {} : { pointer }),
    op: record.op,
    syscall: record.syscall,
    subject: record.subject,
    errno: record.errno,
    ...(record.index[0] === undefined ? {} : { at: record.index[0] }),
  })
}
