/** Capability names in the order of their bits (linux/capability.h, up to Linux 5.9's CHECKPOINT_RESTORE). */
const NAMES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const

const BITS: ReadonlyMap<string, number> = new Map(NAMES.map((name, bit) => [name, bit]))

/** All names, for `features`. */
export const CAPABILITY_NAMES: readonly string[] = NAMES

/** Every capability that has a name here. */
export const ALL_CAPABILITIES: bigint = (1n << BigInt(NAMES.length)) - 1n

/** Bit of a capability, or undefined for an unknown name. Names are exact: `CAP_` and upper case. */
export const capabilityBit = (name: string): number | undefined => BITS.get(name)

/** The mask of the known names; unknown ones are left out, as the specification demands (a warning of `loadSpec` names them). */
export const capabilityMask = (names: readonly string[] = []): bigint =>
  names.reduce((mask, name) => {
    const bit = capabilityBit(name)
    return bit === undefined ? mask : mask | (1n << BigInt(bit))
  }, 0n)

/** Names of the bits in a mask, lowest first; a bit without a name is `CAP_` and its number. */
export const capabilityNames = (mask: bigint): string[] => {
  const names: string[] = []
  for (let bit = 0; mask >> BigInt(bit) > 0n; bit++) {
    if ((mask >> BigInt(bit)) & 1n) names.push(NAMES[bit] ?? `CAP_${bit}`)
  }
  return names
}
