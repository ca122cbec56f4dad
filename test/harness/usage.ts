/** What a process holds. */
import { readdirSync, readFileSync } from 'node:fs'

export const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length
/** Memory that is its own, in kB. */
export const privateKb = (pid: number): number =>
  Number(/Private_Dirty: +(\d+)/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1])
