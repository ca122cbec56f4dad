/** What a checkpoint and its restore are told, and the arguments of CRIU that say so. */

import { BerthError } from '../errors.ts'

export const CGROUPS_MODES = ['soft', 'full', 'strict', 'ignore'] as const
export type CgroupsMode = (typeof CGROUPS_MODES)[number]

/** Of both sides: a restore has to be told at least what its checkpoint was. */
export interface CriuOptions {
  readonly tcpEstablished?: boolean
  readonly tcpSkipInFlight?: boolean
  readonly extUnixSk?: boolean
  readonly shellJob?: boolean
  readonly fileLocks?: boolean
  readonly linkRemap?: boolean
  readonly autoDedup?: boolean
  /** Namespaces whose content is left to whoever restores: `network`. */
  readonly emptyNamespaces?: readonly string[]
  readonly cgroupsMode?: CgroupsMode
}

export interface DumpOptions extends CriuOptions {
  readonly leaveRunning: boolean
  /** Memory only, while the container runs on. */
  readonly preDump?: boolean
  /** Images of an earlier dump, which what did not change since is left out for; relative to these images. */
  readonly parent?: string | undefined
}

export interface RestoreOptions extends CriuOptions {
  /** `apparmor:NAME` or `selinux:LABEL`. */
  readonly lsmProfile?: string | undefined
  readonly lsmMountContext?: string | undefined
}

export const checkCgroupsMode = (mode: string, what: string): CgroupsMode => {
  const known = CGROUPS_MODES.find((name) => name === mode)
  if (known === undefined)
    throw new BerthError('invalid', `${what} ${JSON.stringify(mode)}: expected ${CGROUPS_MODES.join(', ')}`)
  return known
}

export const checkEmptyNamespaces = (names: readonly string[], what: string): readonly string[] => {
  const other = names.find((name) => name !== 'network')
  if (other === undefined) return names
  throw new BerthError(
    'invalid',
    `${what} ${JSON.stringify(other)}: only the network namespace can be restored empty: network`,
  )
}

const FLAGS = {
  tcpEstablished: '--tcp-established',
  tcpSkipInFlight: '--skip-in-flight',
  extUnixSk: '--ext-unix-sk',
  shellJob: '--shell-job',
  fileLocks: '--file-locks',
  linkRemap: '--link-remap',
  autoDedup: '--auto-dedup',
} as const

/** Of an object that was written down. */
export const readOptions = (from: Readonly<Record<string, unknown>>): CriuOptions => {
  const { emptyNamespaces, cgroupsMode } = from
  const mode = CGROUPS_MODES.find((name) => name === cgroupsMode)
  return {
    ...Object.fromEntries(Object.keys(FLAGS).flatMap((name) => (from[name] === true ? [[name, true]] : []))),
    ...(Array.isArray(emptyNamespaces) && emptyNamespaces.includes('network') ? { emptyNamespaces: ['network'] } : {}),
    ...(mode === undefined ? {} : { cgroupsMode: mode }),
  }
}

/** What either side was told; of the cgroups the one that restores has the last word. */
export const both = (dumped: CriuOptions, asked: CriuOptions): CriuOptions => {
  const mode = asked.cgroupsMode ?? dumped.cgroupsMode
  return {
    ...Object.fromEntries(
      Object.keys(FLAGS).map((name) => [name, (dumped as Flagged)[name] === true || (asked as Flagged)[name] === true]),
    ),
    emptyNamespaces: [...new Set([...(dumped.emptyNamespaces ?? []), ...(asked.emptyNamespaces ?? [])])],
    ...(mode === undefined ? {} : { cgroupsMode: mode }),
  }
}
type Flagged = Readonly<Record<string, unknown>>

/** CRIU's arguments for what both sides are told. */
export const sharedArguments = (options: CriuOptions): string[] => [
  ...Object.entries(FLAGS).flatMap(([name, flag]) => (options[name as keyof typeof FLAGS] ? [flag] : [])),
  ...(options.emptyNamespaces?.length ? ['--empty-ns', 'net'] : []),
  `--manage-cgroups=${options.cgroupsMode ?? 'soft'}`,
]
