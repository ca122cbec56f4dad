/** The status of a container, from what is written about it and what the kernel says. */

import type { ProcessId } from './state.ts'

export type Status = 'creating' | 'created' | 'running' | 'paused' | 'stopped'

export interface StatusFacts {
  /** undefined where no state.json has been written. */
  readonly init: ProcessId | undefined
  /** It was made since the host was booted. */
  readonly sameBoot: boolean
  /** exit.json is there. */
  readonly exited: boolean
  /** Text of /proc/PID/stat; undefined where there is no such process. */
  readonly stat: string | undefined
  /** Result of the `held` operation; undefined where no monitor answered. */
  readonly held: number | undefined
  /** Text of the freezer's state files (v1 freezer.state, v2 cgroup.events). */
  readonly freezer: readonly string[]
}

const PARKED = 1

/**
 * Written state is only believed as far as the kernel bears it out: a pid counts together with its start time and the boot that this is counted from, and a zombie counts as
 * gone. No monitor, but a live init: it runs, as a parked one leaves with its monitor.
 */
export const deriveStatus = ({ init, sameBoot, exited, stat, held, freezer }: StatusFacts): Status => {
  if (init === undefined) return 'creating'
  if (exited || !sameBoot) return 'stopped'
  const process = stat === undefined ? undefined : parseStat(stat)
  if (process === undefined || process.gone || process.startTime !== init.startTime) return 'stopped'
  if (freezer.some((text) => /^(FROZEN|FREEZING)$|^frozen 1$/m.test(text.trim()))) return 'paused'
  return held === PARKED ? 'created' : 'running'
}

/** linux/sched.h */
const PF_EXITING = 4

export interface ProcStat {
  /**
   * A zombie, or on its way: a pid namespace's init that has exited sleeps until its last child is reaped, which can be another
   * program's child (zap_pid_ns_processes in the kernel).
   */
  readonly gone: boolean
  readonly command: string
  readonly ppid: number
  readonly tty: number
  /** In clock ticks. */
  readonly cpuTime: bigint
  readonly startTime: bigint
}

/** /proc/PID/stat (proc_pid_stat(5)); the command's name may hold blanks and parentheses, so fields are counted from its last one. */
export const parseStat = (text: string): ProcStat | undefined => {
  const open = text.indexOf('(')
  const close = text.lastIndexOf(')')
  if (open < 0 || close < open) return undefined
  const fields = text
    .slice(close + 2)
    .trim()
    .split(' ')
  const [state, ppid] = fields
  const [tty, flags, user, system, start] = [fields[4], fields[6], fields[11], fields[12], fields[19]]
  if (state === undefined || start === undefined || !/^\d+$/.test(start)) return undefined
  return {
    gone: state === 'Z' || state === 'X' || state === 'x' || (Number(flags) & PF_EXITING) !== 0,
    command: text.slice(open + 1, close),
    ppid: Number(ppid),
    tty: Number(tty),
    cpuTime: BigInt(user ?? 0) + BigInt(system ?? 0),
    startTime: BigInt(start),
  }
}
