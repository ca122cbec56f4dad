/** Limits of policies: the least of all of them and of config.json's own holds. */

import { BerthError } from '../errors.ts'
import type { Process, Resources, Rlimit, Spec } from '../spec/types.ts'
import type { Confinement, Limits, Policy } from './types.ts'

/** Microseconds; the kernel's own default. */
const CPU_PERIOD = 100_000n
/** Shortest quota that the kernel takes, in microseconds. */
const LEAST_QUOTA = 1000n
const NOFILE = 'RLIMIT_NOFILE'

export const LIMITS = ['memory', 'processes', 'openFiles', 'cpus', 'maxDuration', 'output'] as const

/** The least of each limit. */
export const leastLimits = (policies: readonly Policy[]): Limits =>
  Object.fromEntries(
    LIMITS.flatMap((name) => {
      const given = policies.flatMap(({ limits }) => limits?.[name] ?? [])
      return given.length === 0 ? [] : [[name, Math.min(...given)] as const]
    }),
  )

/** The lesser of a limit of config.json, where anything below 0 is none, and a policy's. */
const lesser = (given: bigint | undefined, most: bigint): bigint =>
  given === undefined || given < 0n || given > most ? most : given

const memory = (given: Resources['memory'], most: number | undefined): Resources =>
  most === undefined ? {} : { memory: { ...given, limit: lesser(given?.limit || undefined, BigInt(most)) } }

const pids = (given: Resources['pids'], most: number | undefined): Resources =>
  most === undefined ? {} : { pids: { ...given, limit: lesser(given?.limit, BigInt(most)) } }

/** CPU time in a period of this length. */
const quotaOf = (cpus: number, period: bigint): bigint => {
  const quota = BigInt(Math.floor(cpus * Number(period)))
  return quota < LEAST_QUOTA ? LEAST_QUOTA : quota
}

const cpu = (given: Resources['cpu'], cpus: number | undefined): Resources => {
  if (cpus === undefined) return {}
  const period = given?.period || CPU_PERIOD
  return { cpu: { ...given, period, quota: lesser(given?.quota || undefined, quotaOf(cpus, period)) } }
}

const withOpenFiles = (rlimits: readonly Rlimit[] = [], most: number | undefined): readonly Rlimit[] => {
  if (most === undefined) return rlimits
  const limit = BigInt(most)
  const own = rlimits.find(({ type }) => type === NOFILE)
  const least = (value: bigint | undefined) => (value === undefined || value > limit ? limit : value)
  return [
    ...rlimits.filter(({ type }) => type !== NOFILE),
    { type: NOFILE, soft: least(own?.soft), hard: least(own?.hard) },
  ]
}

/** A process under the limits that are its own: of the init, and of each exec. */
export const limitProcess = (process: Process, confinement: Confinement | undefined): Process => {
  const { openFiles } = leastLimits(confinement?.policies ?? [])
  return openFiles === undefined ? process : { ...process, rlimits: withOpenFiles(process.rlimits, openFiles) }
}

/** The configuration under the limits of the container's policies. */
export const limitSpec = (spec: Spec, confinement: Confinement | undefined): Spec => {
  const limits = leastLimits(confinement?.policies ?? [])
  if (Object.keys(limits).length === 0) return spec
  const resources = spec.linux?.resources
  return {
    ...spec,
    ...(spec.process ? { process: limitProcess(spec.process, confinement) } : {}),
    linux: {
      ...spec.linux,
      resources: {
        ...resources,
        ...memory(resources?.memory, limits.memory),
        ...pids(resources?.pids, limits.processes),
        ...cpu(resources?.cpu, limits.cpus),
      },
    },
  }
}

/** Refuses resources beyond the policies: what `update` asks for. Those that are not named stay as they are. */
export const checkLimits = (resources: Resources, confinement: Confinement | undefined): void => {
  const limits = leastLimits(confinement?.policies ?? [])
  const refuse = (pointer: string, value: bigint, limit: string) =>
    new BerthError('invalid', `${pointer}: ${value} is more than the container's policy allows (${limit})`, {
      pointer: `/linux/resources/${pointer.replace('.', '/')}`,
    })
  const beyond = (value: bigint | undefined, most: number | bigint | undefined): value is bigint =>
    value !== undefined && most !== undefined && (value < 0n || value > BigInt(most))
  const { memory, pids, cpu } = resources
  if (beyond(memory?.limit, limits.memory)) throw refuse('memory.limit', memory?.limit ?? 0n, `${limits.memory} bytes`)
  if (beyond(pids?.limit, limits.processes)) throw refuse('pids.limit', pids?.limit ?? 0n, `${limits.processes}`)
  const quota = limits.cpus === undefined ? undefined : quotaOf(limits.cpus, cpu?.period || CPU_PERIOD)
  if (beyond(cpu?.quota, quota)) throw refuse('cpu.quota', cpu?.quota ?? 0n, `${limits.cpus} CPUs`)
  if (limits.cpus !== undefined && cpu?.period !== undefined && cpu.quota === undefined)
    throw new BerthError(
      'invalid',
      "cpu.period: under the limit of the container's policy it changes only together with cpu.quota",
      {
        pointer: '/linux/resources/cpu/period',
      },
    )
}
