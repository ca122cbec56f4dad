import type { CpuResources } from '../spec/types.ts'

/** One value of linux.resources, as a file of a cgroup directory. */
export interface Setting {
  readonly controller: string
  readonly file: string
  readonly value: string
  /** JSON pointer into config.json. */
  readonly source: string
  /** A kernel without the file loses nothing that was asked for: another setting says it too, or it is the default. */
  readonly optional?: true
}

/** What linux.resources comes to on one kind of hierarchy. */
export interface Settings {
  readonly settings: readonly Setting[]
  /** What the kernel has no knob for here, in words. */
  readonly warnings: readonly string[]
}

export const RESOURCES = '/linux/resources'

/** Collects settings; undefined values are not written. */
export class SettingList {
  readonly settings: Setting[] = []
  readonly warnings: string[] = []

  add(controller: string, file: string, value: bigint | number | string | undefined, pointer: string): this {
    if (value !== undefined)
      this.settings.push({ controller, file, value: String(value), source: `${RESOURCES}/${pointer}` })
    return this
  }

  /** As `add`, for a file that not every kernel has and not every kernel needs. */
  addOptional(controller: string, file: string, value: bigint | number | string | undefined, pointer: string): this {
    if (value !== undefined)
      this.settings.push({ controller, file, value: String(value), source: `${RESOURCES}/${pointer}`, optional: true })
    return this
  }
}

/** Engines written in Go send 0 for what was not asked for, and no memory or time at all is no limit that anything could live with. */
export const given = (value: bigint | undefined): bigint | undefined => (value === 0n ? undefined : value)

/** -1 (any negative) is how the specification writes unlimited; the kernel wants `max`. */
export const maxOr = (value: bigint | undefined): string | undefined =>
  value === undefined ? undefined : value < 0n ? 'max' : String(value)

/**
 * pids.limit: since version 1.3 of the specification 0 is a limit like any other; documents of older versions come from engines whose
 * 0 means that none was given.
 */
export const pidsLimit = (limit: bigint | undefined, ociVersion: string): string | undefined => {
  const [major = 1, minor = 0] = ociVersion.split('.').map((part) => Number.parseInt(part, 10))
  if (limit === 0n && (major < 1 || (major === 1 && minor < 3))) return undefined
  return maxOr(limit)
}

/** An idle cgroup has the least weight there is, and the kernel takes no other for it: idle comes first, so that 0 makes room for one. */
export const idleOrShares = (
  list: SettingList,
  { idle, shares }: CpuResources,
  file: string,
  weight: bigint | number | undefined,
): void => {
  list.add('cpu', 'cpu.idle', idle, 'cpu/idle')
  if (idle === 1n) {
    if (shares) list.warnings.push('linux.resources.cpu.shares has no effect beside cpu.idle')
  } else list.add('cpu', file, weight, 'cpu/shares')
}
