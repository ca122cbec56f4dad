/** Device nodes and links below /dev. */

import type { Device, Spec } from '../spec/types.ts'
import { cleanDestination } from './mounts.ts'
import type { Op } from './ops.ts'

const S_IFIFO = 0o010000
const S_IFCHR = 0o020000
const S_IFBLK = 0o060000
/** Types of linux.devices as mknod(2) has them. */
export const DEVICE_TYPES = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO } as const

/** Every container has these (config-linux, "Default Devices"); /dev/console comes with a terminal, /dev/ptmx is a link. */
const DEFAULTS: readonly Device[] = [
  { type: 'c', path: '/dev/null', major: 1n, minor: 3n },
  { type: 'c', path: '/dev/zero', major: 1n, minor: 5n },
  { type: 'c', path: '/dev/full', major: 1n, minor: 7n },
  { type: 'c', path: '/dev/random', major: 1n, minor: 8n },
  { type: 'c', path: '/dev/urandom', major: 1n, minor: 9n },
  { type: 'c', path: '/dev/tty', major: 5n, minor: 0n },
]

const LINKS = [
  ['/proc/self/fd', '/dev/fd'],
  ['/proc/self/fd/0', '/dev/stdin'],
  ['/proc/self/fd/1', '/dev/stdout'],
  ['/proc/self/fd/2', '/dev/stderr'],
  ['pts/ptmx', '/dev/ptmx'],
] as const

const POINTER = '/linux/devices'

const mknod = (device: Device, pointer: string): Op => ({
  op: 'mknod',
  path: cleanDestination(device.path),
  type: DEVICE_TYPES[device.type],
  mode: device.fileMode === undefined ? 0o666 : device.fileMode & 0o7777,
  major: Number(device.major ?? 0n),
  minor: Number(device.minor ?? 0n),
  uid: device.uid ?? 0,
  gid: device.gid ?? 0,
  pointer,
})

/** A /dev that is somebody else's directory: nothing is made in it. */
const isBound = (spec: Spec): boolean =>
  spec.mounts?.some(
    ({ destination, type, options }) =>
      cleanDestination(destination) === '/dev' &&
      (type === 'bind' || options?.some((option) => option === 'bind' || option === 'rbind')),
  ) ?? false

/** Nodes and links, in that order; the configuration's own nodes instead of default ones of the same path. */
export const planDevices = (spec: Spec, facts: { readonly kcore: boolean }): Op[] => {
  if (isBound(spec)) return []
  const configured = (spec.linux?.devices ?? []).map((device, index) => ({ device, pointer: `${POINTER}/${index}` }))
  const taken = new Set(configured.map(({ device }) => cleanDestination(device.path)))
  const links: (readonly [string, string])[] = [...LINKS]
  if (facts.kcore) links.push(['/proc/kcore', '/dev/core'])
  return [
    ...DEFAULTS.filter(({ path }) => !taken.has(path)).map((device) => mknod(device, POINTER)),
    // /dev/ptmx has to be that of the container's own devpts.
    ...configured
      .filter(({ device }) => cleanDestination(device.path) !== '/dev/ptmx')
      .map(({ device, pointer }) => mknod(device, pointer)),
    ...links
      .filter(([, path]) => path === '/dev/ptmx' || !taken.has(path))
      .map(([target, path]): Op => ({ op: 'symlink', target, path, pointer: POINTER })),
  ]
}
