/** RLIMIT_ names to the resource numbers of setrlimit(2), as on all architectures but MIPS, Alpha and SPARC. */
const RESOURCES: ReadonlyMap<string, number> = new Map(
  [
    'RLIMIT_CPU',
    'RLIMIT_FSIZE',
    'RLIMIT_DATA',
    'RLIMIT_STACK',
    'RLIMIT_CORE',
    'RLIMIT_RSS',
    'RLIMIT_NPROC',
    'RLIMIT_NOFILE',
    'RLIMIT_MEMLOCK',
    'RLIMIT_AS',
    'RLIMIT_LOCKS',
    'RLIMIT_SIGPENDING',
    'RLIMIT_MSGQUEUE',
    'RLIMIT_NICE',
    'RLIMIT_RTPRIO',
    'RLIMIT_RTTIME',
  ].map((name, number) => [name, number]),
)

export const RLIMIT_NAMES: readonly string[] = [...RESOURCES.keys()]

/** No limit. */
export const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn

/** Number of a resource, or undefined for an unknown name. */
export const rlimitResource = (name: string): number | undefined => RESOURCES.get(name)
