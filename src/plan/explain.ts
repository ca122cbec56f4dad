/** Plans in words: what `berth plan` prints, and a container's policy as a person would say it. */

import { capabilityNames } from '../spec/capabilities.ts'
import { stringifyJson } from '../spec/json.ts'
import type { Process, Spec } from '../spec/types.ts'
import type { Compiled } from './create.ts'
import { DEVICE_TYPES } from './devices.ts'
import { describeOptions } from './mount-options.ts'
import { CLONE_FLAGS } from './namespaces.ts'
import { NO_SLOT, OPS, type Op, PIVOT_FLAGS, type Plan, type Template } from './ops.ts'

const templateText = (template: Template): string =>
  template
    .map((part) =>
      typeof part === 'string' ? part : part instanceof Uint8Array ? `(${part.length} bytes)` : `{${part.hole}}`,
    )
    .join('')

const quoted = (text: string): string => JSON.stringify(text)
const octal = (mode: number): string => `0${mode.toString(8)}`

const cloneNames = (flags: bigint): string =>
  Object.entries(CLONE_FLAGS)
    .filter(([, flag]) => (flags & BigInt(flag)) !== 0n)
    .map(([name]) => name)
    .join(', ')

const caps = (mask: bigint): string => (mask === 0n ? 'none' : capabilityNames(mask).join(' '))

/** A field as text, for the operations that have no sentence of their own. */
const fieldText = (value: unknown): string => {
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (Array.isArray(value)) return `[${value.map(fieldText).join(' ')}]`
  if (typeof value === 'string') return quoted(value)
  return value === NO_SLOT ? 'none' : String(value)
}

const plainText = (op: Op): string => {
  const values = op as unknown as Readonly<Record<string, unknown>>
  const fields = Object.keys(OPS[op.op].fields).map((name) => `${name}=${fieldText(values[name])}`)
  return [op.op, ...fields].join(' ')
}

const mapLine = (map: string): string => map.trimEnd().replaceAll('\n', ', ')

/** The letter that mknod(1) has for a type. */
const typeLetter = (type: number): string =>
  Object.entries(DEVICE_TYPES).find(([, bits]) => bits === type)?.[0] ?? octal(type)

const mappersText = ({ uidMapper, gidMapper }: { readonly uidMapper: string; readonly gidMapper: string }): string => {
  const mappers = [uidMapper, gidMapper].filter((path) => path !== '')
  return mappers.length === 0 ? '' : `, ids mapped by ${mappers.join(' and ')}`
}

const hex = (bits: number | bigint): string => `0x${bits.toString(16)}`

const landlockText = (op: Extract<Op, { op: 'landlock' }>): string => {
  const paths = op.paths.map((path, index) => `${path}=${hex(op.rights[index] ?? 0)}`)
  const ports = op.ports.map((port, index) => `tcp:${port}=${hex(op.portRights[index] ?? 0)}`)
  const handled = `fs ${hex(op.fs)}, net ${hex(op.net)}, scopes ${hex(op.scoped)}`
  return [`Landlock domain of ${handled}:`, ...paths, ...ports].join(' ')
}

/** What an operation does, in one line. */
const opText = (op: Op): string => {
  switch (op.op) {
    case 'write':
      return `write ${quoted(templateText(op.data))} to ${op.path}`
    case 'mkdir':
      return `mkdir ${op.path}`
    case 'rmdir':
      return `rmdir ${op.path}`
    case 'chown':
      return `chown ${op.uid}:${op.gid} ${op.path}`
    case 'open':
    case 'open-root':
      return `${op.op} ${op.path}`
    case 'open-namespace':
      return `open namespace ${op.path}`
    case 'map-ids':
      return `user namespace for mapped mounts: uids ${mapLine(op.uidMap)}; gids ${mapLine(op.gidMap)}`
    case 'mount-source':
      return `open mount ${op.path}${op.userns === NO_SLOT ? '' : ', its ids mapped'}`
    case 'cpuset-inherit':
      return `cpuset-inherit ${op.path}`
    case 'device-filter':
      return `device filter of ${op.program.length / 8} instructions on ${op.path}`
    case 'subtree-control':
      return `subtree-control ${[...op.controllers, ...op.extra].map((name) => `+${name}`).join(' ')} in ${op.path}`
    case 'kill-cgroup':
      return `kill-cgroup ${op.path} signal ${op.signal}`
    case 'dbus':
      return `ask systemd: ${op.subject}${op.signal === '' ? '' : ', and wait for its job'}, up to ${op.timeoutMs} ms`
    case 'wait-cgroup':
      return `wait-cgroup ${op.path} up to ${op.timeoutMs} ms`
    case 'freeze':
      return `${op.frozen === 1 ? 'freeze' : 'thaw'} ${op.path} within ${op.timeoutMs} ms`
    case 'clone':
      return `${op.flags === 0n ? 'clone' : `clone with new namespaces: ${cloneNames(op.flags)}`}${mappersText(op)}`
    case 'go':
      return 'let it go on, while what follows is done'
    case 'resume':
      return `resume until ${['', 'it asks', 'it is parked', 'execve'][op.until] ?? op.until}`
    case 'hook':
      return `hook ${op.args.map(quoted).join(' ')}${op.timeoutMs > 0 ? ` within ${op.timeoutMs} ms` : ''}`
    case 'propagation':
      return `propagation of ${op.path}: ${describeOptions({ propagation: op.flags })}`
    case 'rootfs':
      return `rootfs ${op.path}`
    case 'mount-in': {
      const options = describeOptions(op)
      const data = [options, op.options].filter((text) => text !== '').join(',')
      return `mount ${op.type} ${quoted(op.source)} on ${op.target}${data === '' ? '' : ` (${data})`}`
    }
    case 'mount-cgroups':
      return `mount the container's cgroups (${op.names.join(' ')}) on ${op.target}${op.readonly ? ' (ro)' : ''}`
    case 'mknod':
      return `mknod ${op.path} ${typeLetter(op.type)} ${op.major}:${op.minor} mode ${octal(op.mode)}`
    case 'symlink':
      return `symlink ${op.path} to ${op.target}`
    case 'pivot':
      if ((op.flags & PIVOT_FLAGS.chroot) !== 0) return 'chroot'
      return op.flags === 0 ? 'pivot_root' : 'move the root and chroot'
    case 'chdir':
      return `chdir ${op.path}${op.flags === 0 ? '' : ' (made where missing)'}`
    case 'mask':
      return `mask ${op.paths.join(' ')}`
    case 'deny':
      return `hide ${op.paths.join(' ')}`
    case 'landlock':
      return landlockText(op)
    case 'landlock-enter':
      return 'enter the Landlock domain'
    case 'readonly':
      return `read-only ${op.paths.join(' ')}`
    case 'remount-root':
      return `remount / ${describeOptions(op)}`.trimEnd()
    case 'hostname':
    case 'domainname':
      return `${op.op} ${op.name}`
    case 'sysctl':
      return `sysctl ${op.key} = ${quoted(op.value)}`
    case 'umask':
      return `umask ${octal(op.mask)}`
    case 'user':
      return `user ${op.uid}:${op.gid}${op.groups.length > 0 ? ` groups ${op.groups.join(' ')}` : ''}`
    case 'caps-bounding':
      return `capabilities: bounding ${caps(op.bounding)}`
    case 'caps':
      return [
        `capabilities: permitted ${caps(op.permitted)}`,
        `effective ${caps(op.effective)}`,
        `inheritable ${caps(op.inheritable)}`,
        `ambient ${caps(op.ambient)}`,
      ].join('; ')
    case 'seccomp':
      return `seccomp filter of ${op.program.length / 8} instructions`
    case 'find-exec':
      return `find ${quoted(op.name)} in PATH ${op.path}`
    case 'close-fds':
      return `close every descriptor but 0 to ${2 + op.preserve}`
    case 'park':
      return 'park: wait here for start'
    case 'exec':
      return `execve ${op.argv.map(quoted).join(' ')}`
    default:
      return plainText(op)
  }
}

/** Lines for people: numbered through, each with the process that does it and the place in config.json that asks for it. */
export const explainPlan = (plan: Plan): string => {
  const lines: string[] = []
  let count = 0
  const walk = (ops: Plan, inside: boolean): void => {
    let where = inside ? 'inside' : 'outside'
    for (const op of ops) {
      const pointer = op.pointer === undefined ? '' : `   ${op.pointer}`
      lines.push(`${String(++count).padStart(4)}  ${where.padEnd(12)}  ${opText(op)}${pointer}`)
      if (op.op === 'pivot') where = 'inside root'
      if (op.op === 'clone') walk(op.plan, true)
    }
  }
  walk(plan, false)
  return `${lines.join('\n')}\n`
}

/** The plan for programs: integers in full, byte strings in base64. */
export const planJson = (plan: Plan): string => stringifyJson(plan.map(jsonOp), 2)

const jsonValue = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') }
  return Array.isArray(value) ? value.map(jsonValue) : value
}

const jsonOp = (op: Op): unknown =>
  Object.fromEntries(
    Object.entries(op).map(([name, value]) => [
      name,
      name === 'plan' ? (value as Plan).map(jsonOp) : jsonValue(value as unknown),
    ]),
  )

/** What a process is, apart from its capabilities and filter. */
const SENTENCES: Readonly<Record<string, (process: Process) => string | undefined>> = {
  user: ({ user }) => `runs as user ${user.uid}, group ${user.gid}`,
  privileges: ({ noNewPrivileges }) =>
    noNewPrivileges
      ? 'can gain no privileges by execve (no_new_privs)'
      : 'may gain privileges by execve (setuid files)',
  limits: ({ rlimits }) =>
    rlimits?.length
      ? `resource limits: ${rlimits.map(({ type, soft, hard }) => `${type.replace('RLIMIT_', '')} ${soft}/${hard}`).join(', ')}`
      : undefined,
}

const find = <N extends Op['op']>(plan: Plan, name: N): Extract<Op, { op: N }> | undefined =>
  plan.find((op): op is Extract<Op, { op: N }> => op.op === name)

/** The policy of a compiled container in words, a line each. */
export const describePolicy = (spec: Spec, compiled: Compiled): string[] => {
  const inside = find(compiled.create, 'clone')?.plan ?? []
  const lines: string[] = []
  const namespaces = spec.linux?.namespaces ?? []
  const made = namespaces.filter(({ path }) => !path).map(({ type }) => type)
  const joined = namespaces.filter(({ path }) => path).map(({ type, path }) => `${type} (${path})`)
  lines.push(
    `namespaces of its own: ${made.join(', ') || 'none'}${joined.length ? `; joins ${joined.join(', ')}` : ''}`,
  )
  lines.push(`root file system ${compiled.rootfs}${spec.root?.readonly ? ', read-only' : ''}`)
  if (spec.process) for (const say of Object.values(SENTENCES)) lines.push(...[say(spec.process) ?? []].flat())
  const sets = find(inside, 'caps')
  if (sets) lines.push(`capabilities: ${caps(sets.permitted)}; at most ever: ${caps(sets.bounding)}`)
  const filter = find(inside, 'seccomp')
  lines.push(
    filter
      ? `system calls are filtered (${filter.program.length / 8} BPF instructions, default ${spec.linux?.seccomp?.defaultAction})`
      : 'system calls are not filtered',
  )
  const masked = spec.linux?.maskedPaths ?? []
  const readonly = spec.linux?.readonlyPaths ?? []
  if (masked.length > 0) lines.push(`hidden: ${masked.join(', ')}`)
  if (readonly.length > 0) lines.push(`read-only: ${readonly.join(', ')}`)
  const devices = inside.flatMap((op) => (op.op === 'mknod' ? [op.path] : []))
  lines.push(`devices: ${devices.join(', ') || 'as in its root file system'}`)
  lines.push(...describeLimits(compiled))
  return lines
}

/** Limits as they are written, below the container's own cgroup. */
const describeLimits = ({ create, cgroupPaths }: Compiled): string[] => {
  const limits = create.flatMap((op) => {
    if (op.op !== 'write') return []
    const file = op.path.slice(op.path.lastIndexOf('/') + 1)
    return file.startsWith('devices.') || file.startsWith('cgroup.') ? [] : [`${file} ${templateText(op.data)}`]
  })
  return [
    `cgroup: ${cgroupPaths[0] ?? 'none'}${cgroupPaths.length > 1 ? ` and ${cgroupPaths.length - 1} more hierarchies` : ''}`,
    ...(limits.length > 0 ? [`cgroup limits: ${limits.join(', ')}`] : []),
  ]
}
