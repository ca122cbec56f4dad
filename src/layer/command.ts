/** The configuration of a command that has the host's own tree for its root. */

import { defaultSpec } from '../spec/default.ts'
import type { Capabilities, Mount, Spec } from '../spec/types.ts'
import { type Overlay, overlayOptions } from './layer.ts'
import type { Shown } from './mounts.ts'

export interface HostCommand {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Of these the names of what is secret: credentials that the HTTP proxy attaches. */
  readonly secrets: readonly string[]
  readonly cwd: string
  readonly terminal: boolean
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  readonly umask: number
  /** An ordinary user's: it takes a user namespace. */
  readonly rootless: boolean
  /** The host's network, as far as policies let it be used; else none but a loopback device. */
  readonly hostNetwork: boolean
}

/** What else is mounted in the root: overlays, by their index in the layer, or the host's own mounts. */
export interface Shape {
  readonly shown: readonly Shown[]
  readonly overlays: ReadonlyMap<string, Overlay>
}

/** What files of others need of root; nothing that reaches the host beside its files: no mounts, devices, modules, raw sockets, clocks. */
const CAPABILITIES = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'SETFCAP'],
  ...['SETUID', 'SETGID', 'SETPCAP', 'KILL', 'NET_BIND_SERVICE', 'SYS_CHROOT', 'AUDIT_WRITE'],
].map((name) => `CAP_${name}`)

const capabilities = (rootless: boolean): Capabilities => {
  const names = rootless ? [] : CAPABILITIES
  return { bounding: names, effective: names, permitted: names }
}

/** Said to somebody else than the command. */
const NOT_PASSED = ['NOTIFY_SOCKET', 'LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']

const hostMount = ({ mountPoint, fate, options }: Shown, overlay: Overlay | undefined, rootless: boolean): Mount => {
  const common = ['nosuid', 'nodev', ...options]
  if (overlay === undefined)
    return {
      destination: mountPoint,
      type: 'bind',
      source: mountPoint,
      options: ['bind', 'ro', 'private', ...common],
    }
  const attributes = fate === 'still' ? ['ro', ...common] : common
  return {
    destination: mountPoint,
    type: 'overlay',
    source: 'overlay',
    options: [...overlayOptions(overlay, rootless), ...attributes],
  }
}

/** It is born with no more than its user may have, in namespaces of its own but for the network, and never gets more. */
export const commandSpec = (command: HostCommand, { shown, overlays }: Shape): Spec => {
  const { rootless, uid, gid, hostNetwork } = command
  const standard = defaultSpec(rootless ? { rootless: { uid, gid } } : {})
  const withheld = new Set([...NOT_PASSED, ...command.secrets])
  const mappings = (id: number) => [{ containerID: id, hostID: id, size: 1 }]
  const { hostname: _, ...rest } = standard
  return {
    ...rest,
    root: { path: '/' },
    process: {
      terminal: command.terminal,
      user: { uid, gid, umask: command.umask, ...(rootless ? {} : { additionalGids: command.groups }) },
      args: command.args,
      env: Object.entries(command.env).flatMap(([name, value]) => (withheld.has(name) ? [] : [`${name}=${value}`])),
      cwd: command.cwd,
      capabilities: capabilities(rootless),
      noNewPrivileges: true,
    },
    mounts: [
      ...(standard.mounts ?? []),
      ...shown
        .filter(({ mountPoint }) => mountPoint !== '/')
        .map((mount) => hostMount(mount, overlays.get(mount.mountPoint), rootless)),
    ],
    linux: {
      ...standard.linux,
      ...(rootless ? { uidMappings: mappings(uid), gidMappings: mappings(gid) } : {}),
      namespaces: [
        ...(['pid', 'mount', 'ipc'] as const).map((type) => ({ type })),
        ...(hostNetwork ? [] : [{ type: 'network' as const }]),
        ...(rootless ? [{ type: 'user' as const }] : []),
      ],
    },
  }
}
