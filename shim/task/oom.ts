/**
 * Containers that run out of memory. The kernel's count of kills is what counts; its notifications are rate-limited, come after an exit or
 * before a kill, and on v1 to groups that lost nobody (trap 19). The monitor says when to look: at a notification, and at an end that may
 * have been such a kill.
 */

import { dirname } from 'node:path'
import type { MonitorRequest, RunStep } from '../../src/controller/types.ts'
import { OP_FLAGS, type Op, READ_FLAGS } from '../../src/plan/ops.ts'
import { readBelow } from './below.ts'
import { type Commit, type Env, timedStep } from './call.ts'
import { type CgroupDirs, cgroupDir, findTask, putTask, type ShimRecord, splitKey, type Task } from './record.ts'

type OomRequest = Extract<MonitorRequest, { kind: 'oom' }>

const MAX = 1 << 16

/** Has the monitor watch the container's memory cgroup. Result: u64 what had been killed there before. */
export const watchOomOp = (id: string, cgroups: CgroupDirs): Op[] => {
  const path = cgroupDir(cgroups, 'memory')
  return path === undefined ? [] : [{ op: 'watch-oom', name: id, path, opFlags: OP_FLAGS.tolerate }]
}

/** What a look at the counters has found. */
export interface OomLook {
  readonly kills: number
  /** v1: out of memory, with the killer switched off. */
  readonly stuck: boolean
  /** How often the container's own limit was hit. */
  readonly hits: number
  /** Of which container: another may have its id by the time of the commit. */
  readonly start: string
}

/** The files that tell a level's limit and how often it was hit. v1 counts every hit, v2 those that nothing could be reclaimed for. */
const LEVEL = {
  1: { hits: ['memory.failcnt', 'memory.memsw.failcnt'], limit: 'memory.limit_in_bytes' },
  2: { hits: ['memory.events.local'], limit: 'memory.max' },
} as const

const number = (text: string | undefined, name: string): number =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text ?? '')?.[1] ?? 0)

/** Looks, and says in containerd's log whose limit it was if there was a kill since the last look. */
export const lookForOom = async (env: Env, id: string, step: RunStep): Promise<OomLook | undefined> => {
  const task = findTask(env.record(), id)
  const dir = task && cgroupDir(task.cgroups, 'memory')
  if (task === undefined || dir === undefined) return undefined
  const counts = await count(task.cgroups.version, dir, step).catch(() => undefined)
  if (counts === undefined) return undefined
  const kills = counts.kills - (task.oomKills ?? 0)
  if (kills <= 0 && !counts.stuck) return { ...counts, hits: task.oomHits ?? 0, start: task.process.start }
  const { hits, where } = await level(task, dir, step)
  const what = counts.stuck ? 'is out of memory, with the OOM killer switched off' : `lost ${kills} to the OOM killer`
  await step('log', [{ op: 'log', path: `${task.bundle}/log`, message: `berth: ${id} ${what}: ${where}` }])
  return { ...counts, hits, start: task.process.start }
}

/** v1 counts a kill where the process was, v2 in all groups above as well. */
const count = async (version: 1 | 2, dir: string, step: RunStep) => {
  if (version === 1) {
    const texts = await readBelow(step, 'oom', dir, 'memory.oom_control')
    if (texts.length === 0) return undefined
    const stuck = number(texts[0], 'under_oom') > 0 && number(texts[0], 'oom_kill_disable') > 0
    return { kills: texts.reduce((sum, text) => sum + number(text, 'oom_kill'), 0), stuck }
  }
  const text = (await step('oom', [read(`${dir}/memory.events`)])).text(0)
  return text === undefined ? undefined : { kills: number(text, 'oom_kill'), stuck: false }
}

const read = (path: string): Op => ({
  op: 'read',
  path,
  max: MAX,
  flags: READ_FLAGS.missingOk,
  opFlags: OP_FLAGS.tolerate,
})

/** The level whose limit was hit: the container's own where that was hit since the last time, else the nearest above it that ever was. */
const level = async ({ cgroups: { version }, oomHits = 0 }: Task, dir: string, step: RunStep) => {
  const files = LEVEL[version]
  const dirs = ancestry(dir)
  const names = [...files.hits, files.limit]
  const results = await step(
    'oom level',
    dirs.flatMap((at) => names.map((name) => read(`${at}/${name}`))),
  )
  const levels = dirs.map((at, index) => {
    const texts = names.map((_, file) => results.text(index * names.length + file))
    const counted = texts.slice(0, -1)
    const hits = version === 2 ? number(counted[0], 'oom') : counted.reduce((sum, text) => sum + Number(text ?? 0), 0)
    return { at, hits, limit: texts.at(-1)?.trim() ?? '' }
  })
  const [own, ...above] = levels
  const found = own !== undefined && own.hits > oomHits ? own : above.find(({ hits }) => hits > 0)
  const where = found
    ? `the limit of ${found.at} (${found.limit} bytes) was reached`
    : 'no limit above was reached: the host'
  return { hits: own?.hits ?? 0, where }
}

/** A directory and those above it; which of them are cgroups shows when they are read. */
const ancestry = (dir: string): string[] => (dir === '/' ? [] : [dir, ...ancestry(dirname(dir))])

/** The record after a look, and whether that is an event. */
export const countOom = (record: ShimRecord, id: string, look: OomLook | undefined) => {
  const task = findTask(record, id)
  if (look === undefined || task?.process.start !== look.start) return { record, event: false }
  const { kills, hits, stuck } = look
  const { oomKills = 0, oomHits = 0 } = task
  const same = kills === oomKills && hits === oomHits
  return {
    // Groups below may have gone, and their counts with them.
    record: same ? record : putTask(record, id, { ...task, oomKills: kills, oomHits: hits }),
    event: kills > oomKills || stuck,
  }
}

/** A notification. */
export const ranOut = async (env: Env, { key }: OomRequest, step: RunStep): Promise<Commit> => {
  const { id } = splitKey(key)
  const look = await lookForOom(env, id, step)
  const { time } = await timedStep(step, 'time', [])
  return (before) => {
    const { record, event } = countOom(before, id, look)
    return { ...(record === before ? {} : { record }), events: event ? [env.events.oom(time, id)] : [] }
  }
}
