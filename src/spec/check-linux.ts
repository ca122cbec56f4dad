import { checkMemoryPolicy } from './check-memory-policy.ts'
import { checkIntelRdt } from './check-rdt.ts'
import { checkSeccomp } from './check-seccomp.ts'
import { type Finding, point, show } from './finding.ts'
import { sysctlNamespace, sysctlPath } from './sysctl.ts'
import type { IdMapping, Linux, Namespace, NamespaceType, NetDevice, Resources } from './types.ts'

/** The container's own namespaces, new or joined, by type. */
export type Namespaces = ReadonlyMap<NamespaceType, Namespace>

/** Bounds of a device number in the kernel: larger ones would be cut to another device's. */
const MAX_MAJOR = 0xfffn
const MAX_MINOR = 0xfffffn

/** What a schema can't say about the section `linux`, as far as it can be told without the host. */
export function* checkLinux(linux: Linux, namespaces: Namespaces): Iterable<Finding> {
  const at = '/linux'
  yield* checkNamespaces(linux.namespaces ?? [], point(at, 'namespaces'))
  yield* checkUserNamespace(linux, namespaces)
  yield* checkTimeOffsets(linux, namespaces)
  yield* checkSysctl(linux.sysctl ?? {}, namespaces)
  yield* checkDevices(linux)
  yield* checkNetDevices(linux.netDevices ?? {}, namespaces)
  yield* checkResources(linux.resources ?? {}, point(at, 'resources'))
  if (linux.seccomp) yield* checkSeccomp(linux.seccomp, point(at, 'seccomp'))
  if (linux.cgroupsPath?.split('/').includes('..')) {
    yield { pointer: point(at, 'cgroupsPath'), message: `must not contain .. (is ${show(linux.cgroupsPath)})` }
  }
  if (linux.personality?.flags?.length) {
    yield { pointer: point(at, 'personality', 'flags'), message: 'no flag is defined: must be empty' }
  }
  if (linux.intelRdt) yield* checkIntelRdt(linux.intelRdt, point(at, 'intelRdt'))
  if (linux.memoryPolicy) yield* checkMemoryPolicy(linux.memoryPolicy, point(at, 'memoryPolicy'))
}

function* checkNamespaces(namespaces: readonly Namespace[], at: string): Iterable<Finding> {
  const seen = new Set<NamespaceType>()
  for (const [index, { type }] of namespaces.entries()) {
    if (seen.has(type)) yield { pointer: point(at, index), message: `namespace ${type} is given twice` }
    seen.add(type)
  }
}

function* checkUserNamespace(linux: Linux, namespaces: Namespaces): Iterable<Finding> {
  const user = namespaces.get('user')
  for (const name of ['uidMappings', 'gidMappings'] as const) {
    const pointer = point('/linux', name)
    const mappings = linux[name] ?? []
    if (mappings.length > 0 && !user) yield { pointer, message: 'needs a user namespace' }
    if (mappings.length === 0 && user && user.path === undefined) {
      yield { pointer, message: 'is required for a new user namespace' }
    }
    yield* checkMappings(mappings, pointer)
  }
}

/** Ranges of ids that would run over the end of 32 bits. */
export function* checkMappings(mappings: readonly IdMapping[], at: string): Iterable<Finding> {
  for (const [index, { containerID, hostID, size }] of mappings.entries()) {
    if (Math.max(containerID, hostID) + size > 0xffff_ffff) {
      yield { pointer: point(at, index), message: 'runs over the last id, 4294967294' }
    }
  }
}

function* checkTimeOffsets(linux: Linux, namespaces: Namespaces): Iterable<Finding> {
  if (Object.keys(linux.timeOffsets ?? {}).length === 0) return
  const time = namespaces.get('time')
  // Offsets are fixed once the first process has entered (time_namespaces(7)).
  if (!time || time.path !== undefined) yield { pointer: '/linux/timeOffsets', message: 'needs a new time namespace' }
}

function* checkSysctl(sysctl: Readonly<Record<string, string>>, namespaces: Namespaces): Iterable<Finding> {
  for (const key of Object.keys(sysctl)) {
    const pointer = point('/linux/sysctl', key)
    const path = sysctlPath(key)
    const namespace = path === undefined ? undefined : sysctlNamespace(path)
    if (path === undefined) yield { pointer, message: 'is not the name of a sysctl' }
    else if (path === 'kernel/hostname') yield { pointer, message: 'is set by the property hostname, not as a sysctl' }
    else if (!namespace) yield { pointer, message: 'would change the host: no namespace has it as its own' }
    else if (!namespaces.has(namespace))
      yield { pointer, message: `would change the host: needs a namespace ${namespace}` }
  }
}

function* checkDevices(linux: Linux): Iterable<Finding> {
  for (const [index, device] of (linux.devices ?? []).entries()) {
    if (device.type === 'p') continue
    const pointer = point('/linux/devices', index)
    yield* checkNumber(device.major, MAX_MAJOR, point(pointer, 'major'))
    yield* checkNumber(device.minor, MAX_MINOR, point(pointer, 'minor'))
  }
}

function* checkNumber(value: bigint | undefined, max: bigint, pointer: string, min = 0n): Iterable<Finding> {
  if (value === undefined) yield { pointer, message: 'is required' }
  else if (value < min || value > max) yield { pointer, message: `must be from ${min} to ${max} (is ${value})` }
}

function* checkNetDevices(devices: Readonly<Record<string, NetDevice>>, namespaces: Namespaces): Iterable<Finding> {
  const names = new Set<string>()
  for (const [hostName, { name }] of Object.entries(devices)) {
    const pointer = point('/linux/netDevices', hostName)
    if (!namespaces.has('network')) yield { pointer, message: 'needs a network namespace' }
    if (!isInterfaceName(hostName)) yield { pointer, message: 'is not the name of a network device' }
    if (name && !isInterfaceTemplate(name)) {
      yield { pointer: point(pointer, 'name'), message: `must be the name of a network device (is ${show(name)})` }
    }
    const target = name || hostName
    // A template such as eth%d may be used by several.
    if (names.has(target) && !target.includes('%d'))
      yield { pointer, message: `another device gets the name ${target}` }
    names.add(target)
  }
}

/** As the kernel's dev_valid_name; % has a meaning of its own there. */
const isInterfaceName = (name: string): boolean =>
  name !== '.' && name !== '..' && /^[^/:%\s]+$/.test(name) && Buffer.byteLength(name) < 16

/** A number takes the place of %d. */
const isInterfaceTemplate = (name: string): boolean =>
  Buffer.byteLength(name) < 16 && isInterfaceName(name.replace(/%d$/, '0'))

function* checkResources(resources: Resources, at: string): Iterable<Finding> {
  for (const [index, { major = -1n, minor = -1n }] of (resources.devices ?? []).entries()) {
    const pointer = point(at, 'devices', index)
    yield* checkNumber(major, MAX_MAJOR, point(pointer, 'major'), -1n)
    yield* checkNumber(minor, MAX_MINOR, point(pointer, 'minor'), -1n)
  }
  for (const name of ['limit', 'reservation', 'swap', 'kernel', 'kernelTCP'] as const) {
    const value = resources.memory?.[name]
    if (value !== undefined && value < -1n) {
      yield { pointer: point(at, 'memory', name), message: `must be -1 (no limit) or more (is ${value})` }
    }
  }
  for (const name of Object.keys(resources.unified ?? {})) {
    // It is used as the name of a file in the container's cgroup.
    if (!/^[a-z0-9_]+(\.[A-Za-z0-9_]+)+$/.test(name)) {
      yield { pointer: point(at, 'unified', name), message: 'is not the name of a cgroup file' }
    }
  }
}
