/**
 * config.json of the OCI runtime specification 1.3 for Linux, as `loadSpec` returns it.
 *
 * Fields that the specification gives as int64 or uint64 are bigint, always; narrower integers are numbers. A property that is
 * null in the document is absent here (engines written in Go can't tell the two apart). Unknown properties are kept but not typed.
 */

export interface Spec {
  readonly ociVersion: string
  readonly process?: Process
  readonly root?: Root
  readonly hostname?: string
  readonly domainname?: string
  readonly mounts?: readonly Mount[]
  readonly hooks?: Hooks
  readonly annotations?: Readonly<Record<string, string>>
  readonly linux?: Linux
}

export interface Root {
  readonly path: string
  readonly readonly?: boolean
}

// ---- process -------------------------------------------------------------------------------------------------------

export interface Process {
  readonly terminal?: boolean
  readonly consoleSize?: ConsoleSize
  /** Always there after loading; uid and gid default to 0. */
  readonly user: User
  readonly args?: readonly string[]
  readonly env?: readonly string[]
  /** Absolute. */
  readonly cwd: string
  readonly capabilities?: Capabilities
  readonly rlimits?: readonly Rlimit[]
  readonly noNewPrivileges?: boolean
  readonly apparmorProfile?: string
  readonly oomScoreAdj?: number
  readonly scheduler?: Scheduler
  readonly selinuxLabel?: string
  readonly ioPriority?: IoPriority
  readonly execCPUAffinity?: CpuAffinity
}

export interface ConsoleSize {
  readonly height: number
  readonly width: number
}

export interface User {
  readonly uid: number
  readonly gid: number
  readonly umask?: number
  readonly additionalGids?: readonly number[]
}

/** Names as written; unknown ones are among the warnings of `loadSpec` (they must not fail). */
export interface Capabilities {
  readonly bounding?: readonly string[]
  readonly effective?: readonly string[]
  readonly inheritable?: readonly string[]
  readonly permitted?: readonly string[]
  readonly ambient?: readonly string[]
}

export interface Rlimit {
  /** A known RLIMIT_ name (rlimits.ts). */
  readonly type: string
  readonly soft: bigint
  readonly hard: bigint
}

export type SchedulerPolicy =
  | 'SCHED_OTHER'
  | 'SCHED_FIFO'
  | 'SCHED_RR'
  | 'SCHED_BATCH'
  | 'SCHED_ISO'
  | 'SCHED_IDLE'
  | 'SCHED_DEADLINE'

export type SchedulerFlag =
  | 'SCHED_FLAG_RESET_ON_FORK'
  | 'SCHED_FLAG_RECLAIM'
  | 'SCHED_FLAG_DL_OVERRUN'
  | 'SCHED_FLAG_KEEP_POLICY'
  | 'SCHED_FLAG_KEEP_PARAMS'
  | 'SCHED_FLAG_UTIL_CLAMP_MIN'
  | 'SCHED_FLAG_UTIL_CLAMP_MAX'

export interface Scheduler {
  readonly policy: SchedulerPolicy
  readonly nice?: number
  readonly priority?: number
  readonly flags?: readonly SchedulerFlag[]
  readonly runtime?: bigint
  readonly deadline?: bigint
  readonly period?: bigint
}

export interface IoPriority {
  readonly class: 'IOPRIO_CLASS_RT' | 'IOPRIO_CLASS_BE' | 'IOPRIO_CLASS_IDLE'
  readonly priority: number
}

/** CPU lists such as `0-3,7`; for exec only. */
export interface CpuAffinity {
  readonly initial?: string
  readonly final?: string
}

// ---- mounts, hooks -------------------------------------------------------------------------------------------------

export interface Mount {
  readonly destination: string
  readonly type?: string
  readonly source?: string
  readonly options?: readonly string[]
  readonly uidMappings?: readonly IdMapping[]
  readonly gidMappings?: readonly IdMapping[]
}

export interface IdMapping {
  readonly containerID: number
  readonly hostID: number
  readonly size: number
}

export interface Hooks {
  readonly prestart?: readonly Hook[]
  readonly createRuntime?: readonly Hook[]
  readonly createContainer?: readonly Hook[]
  readonly startContainer?: readonly Hook[]
  readonly poststart?: readonly Hook[]
  readonly poststop?: readonly Hook[]
}

export interface Hook {
  /** Absolute. */
  readonly path: string
  readonly args?: readonly string[]
  readonly env?: readonly string[]
  /** Seconds, at least 1. */
  readonly timeout?: number
}

// ---- linux ---------------------------------------------------------------------------------------------------------

export interface Linux {
  readonly uidMappings?: readonly IdMapping[]
  readonly gidMappings?: readonly IdMapping[]
  readonly sysctl?: Readonly<Record<string, string>>
  readonly resources?: Resources
  readonly cgroupsPath?: string
  readonly namespaces?: readonly Namespace[]
  readonly devices?: readonly Device[]
  readonly netDevices?: Readonly<Record<string, NetDevice>>
  readonly seccomp?: Seccomp
  readonly rootfsPropagation?: RootfsPropagation
  readonly maskedPaths?: readonly string[]
  readonly readonlyPaths?: readonly string[]
  readonly mountLabel?: string
  readonly intelRdt?: IntelRdt
  readonly memoryPolicy?: MemoryPolicy
  readonly personality?: Personality
  readonly timeOffsets?: Readonly<Partial<Record<'monotonic' | 'boottime', TimeOffset>>>
}

export type NamespaceType = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time'

export interface Namespace {
  readonly type: NamespaceType
  /** Absolute path of a namespace to join; without it a new one is made. */
  readonly path?: string
}

export type RootfsPropagation =
  | ''
  | 'private'
  | 'rprivate'
  | 'shared'
  | 'rshared'
  | 'slave'
  | 'rslave'
  | 'unbindable'
  | 'runbindable'

export interface Device {
  /** c and u are the same: a character device. */
  readonly type: 'c' | 'b' | 'u' | 'p'
  /** Absolute. */
  readonly path: string
  /** There unless the type is `p`. */
  readonly major?: bigint
  readonly minor?: bigint
  readonly fileMode?: number
  readonly uid?: number
  readonly gid?: number
}

export interface NetDevice {
  readonly name?: string
}

export interface TimeOffset {
  readonly secs?: bigint
  readonly nanosecs?: number
}

export interface Personality {
  readonly domain: 'LINUX' | 'LINUX32'
  readonly flags?: readonly string[]
}

export interface IntelRdt {
  readonly closID?: string
  readonly schemata?: readonly string[]
  readonly l3CacheSchema?: string
  readonly memBwSchema?: string
  readonly enableMonitoring?: boolean
}

export interface MemoryPolicy {
  readonly mode:
    | 'MPOL_DEFAULT'
    | 'MPOL_BIND'
    | 'MPOL_INTERLEAVE'
    | 'MPOL_WEIGHTED_INTERLEAVE'
    | 'MPOL_PREFERRED'
    | 'MPOL_PREFERRED_MANY'
    | 'MPOL_LOCAL'
  readonly nodes?: string
  readonly flags?: readonly ('MPOL_F_NUMA_BALANCING' | 'MPOL_F_RELATIVE_NODES' | 'MPOL_F_STATIC_NODES')[]
}

// ---- linux.resources -----------------------------------------------------------------------------------------------

export interface Resources {
  readonly devices?: readonly DeviceRule[]
  readonly memory?: MemoryResources
  readonly cpu?: CpuResources
  readonly pids?: PidsResources
  readonly blockIO?: BlockIoResources
  readonly hugepageLimits?: readonly HugepageLimit[]
  readonly network?: NetworkResources
  readonly rdma?: Readonly<Record<string, RdmaLimit>>
  /** cgroup v2 file name to what is written to it. */
  readonly unified?: Readonly<Record<string, string>>
}

export interface DeviceRule {
  readonly allow: boolean
  /** Absent: `a`. */
  readonly type?: 'a' | 'c' | 'b'
  /** Absent (or -1): any. */
  readonly major?: bigint
  readonly minor?: bigint
  /** Any of r, w, m; absent: all. */
  readonly access?: string
}

/** -1 is unlimited. */
export interface MemoryResources {
  readonly limit?: bigint
  readonly reservation?: bigint
  /** Memory plus swap. */
  readonly swap?: bigint
  readonly kernel?: bigint
  readonly kernelTCP?: bigint
  readonly swappiness?: bigint
  readonly disableOOMKiller?: boolean
  readonly useHierarchy?: boolean
  readonly checkBeforeUpdate?: boolean
}

export interface CpuResources {
  readonly shares?: bigint
  readonly quota?: bigint
  readonly burst?: bigint
  readonly period?: bigint
  readonly realtimeRuntime?: bigint
  readonly realtimePeriod?: bigint
  readonly cpus?: string
  readonly mems?: string
  readonly idle?: bigint
}

export interface PidsResources {
  /** -1 is unlimited; 0 is a limit of its own (1.3). */
  readonly limit?: bigint
}

export interface BlockIoResources {
  readonly weight?: number
  readonly leafWeight?: number
  readonly weightDevice?: readonly WeightDevice[]
  readonly throttleReadBpsDevice?: readonly ThrottleDevice[]
  readonly throttleWriteBpsDevice?: readonly ThrottleDevice[]
  readonly throttleReadIOPSDevice?: readonly ThrottleDevice[]
  readonly throttleWriteIOPSDevice?: readonly ThrottleDevice[]
}

export interface WeightDevice {
  readonly major: bigint
  readonly minor: bigint
  readonly weight?: number
  readonly leafWeight?: number
}

export interface ThrottleDevice {
  readonly major: bigint
  readonly minor: bigint
  readonly rate: bigint
}

export interface HugepageLimit {
  /** Such as 2MB. */
  readonly pageSize: string
  readonly limit: bigint
}

export interface NetworkResources {
  readonly classID?: number
  readonly priorities?: readonly { readonly name: string; readonly priority: number }[]
}

export interface RdmaLimit {
  readonly hcaHandles?: number
  readonly hcaObjects?: number
}

// ---- linux.seccomp -------------------------------------------------------------------------------------------------

export type SeccompAction =
  | 'SCMP_ACT_KILL'
  | 'SCMP_ACT_KILL_PROCESS'
  | 'SCMP_ACT_KILL_THREAD'
  | 'SCMP_ACT_TRAP'
  | 'SCMP_ACT_ERRNO'
  | 'SCMP_ACT_TRACE'
  | 'SCMP_ACT_ALLOW'
  | 'SCMP_ACT_LOG'
  | 'SCMP_ACT_NOTIFY'

export type SeccompOperator =
  | 'SCMP_CMP_NE'
  | 'SCMP_CMP_LT'
  | 'SCMP_CMP_LE'
  | 'SCMP_CMP_EQ'
  | 'SCMP_CMP_GE'
  | 'SCMP_CMP_GT'
  | 'SCMP_CMP_MASKED_EQ'

export type SeccompFlag =
  | 'SECCOMP_FILTER_FLAG_TSYNC'
  | 'SECCOMP_FILTER_FLAG_LOG'
  | 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'
  | 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'

export type SeccompArch =
  | 'SCMP_ARCH_X86'
  | 'SCMP_ARCH_X86_64'
  | 'SCMP_ARCH_X32'
  | 'SCMP_ARCH_ARM'
  | 'SCMP_ARCH_AARCH64'
  | 'SCMP_ARCH_MIPS'
  | 'SCMP_ARCH_MIPS64'
  | 'SCMP_ARCH_MIPS64N32'
  | 'SCMP_ARCH_MIPSEL'
  | 'SCMP_ARCH_MIPSEL64'
  | 'SCMP_ARCH_MIPSEL64N32'
  | 'SCMP_ARCH_PPC'
  | 'SCMP_ARCH_PPC64'
  | 'SCMP_ARCH_PPC64LE'
  | 'SCMP_ARCH_S390'
  | 'SCMP_ARCH_S390X'
  | 'SCMP_ARCH_PARISC'
  | 'SCMP_ARCH_PARISC64'
  | 'SCMP_ARCH_RISCV64'
  | 'SCMP_ARCH_LOONGARCH64'
  | 'SCMP_ARCH_M68K'
  | 'SCMP_ARCH_SH'
  | 'SCMP_ARCH_SHEB'

export interface Seccomp {
  readonly defaultAction: SeccompAction
  readonly defaultErrnoRet?: number
  readonly architectures?: readonly SeccompArch[]
  readonly flags?: readonly SeccompFlag[]
  readonly listenerPath?: string
  readonly listenerMetadata?: string
  readonly syscalls?: readonly SeccompSyscall[]
}

export interface SeccompSyscall {
  readonly names: readonly string[]
  readonly action: SeccompAction
  readonly errnoRet?: number
  readonly args?: readonly SeccompArg[]
}

export interface SeccompArg {
  /** 0 to 5. */
  readonly index: number
  readonly value: bigint
  /** The datum of SCMP_CMP_MASKED_EQ (`value` is the mask there); 0 where absent. */
  readonly valueTwo: bigint
  readonly op: SeccompOperator
}
