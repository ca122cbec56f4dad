import type { Capabilities, IdMapping, Mount, Spec } from './types.ts'

/** The version of the runtime specification that berth implements. */
export const OCI_VERSION = '1.3.0'

const CAPABILITIES = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE']

/**
 * The configuration that `spec` writes: the one engines and scripts know from other runtimes' `spec`, key for key. Rootless, it has a
 * user namespace that maps root to the caller, and leaves out what an unprivileged user can't have.
 */
export const defaultSpec = (
  options: { readonly rootless?: { readonly uid: number; readonly gid: number } } = {},
): Spec => {
  const { rootless } = options
  const namespaces = (['pid', 'network', 'ipc', 'uts', 'mount'] as const).map((type) => ({ type }))
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: capabilities(),
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024n, soft: 1024n }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'berth',
    mounts: mounts(rootless !== undefined),
    linux: {
      ...(rootless
        ? { uidMappings: [toRoot(rootless.uid)], gidMappings: [toRoot(rootless.gid)] }
        : { resources: { devices: [{ allow: false, access: 'rwm' }] } }),
      // Without privilege a network namespace would have nothing but a loopback device: the host's is kept.
      namespaces: rootless
        ? [...namespaces.filter(({ type }) => type !== 'network'), { type: 'user' as const }]
        : namespaces,
      maskedPaths: [
        '/proc/acpi',
        '/proc/asound',
        '/proc/kcore',
        '/proc/keys',
        '/proc/latency_stats',
        '/proc/timer_list',
        '/proc/timer_stats',
        '/proc/sched_debug',
        '/sys/firmware',
        '/proc/scsi',
      ],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  }
}

const capabilities = (): Capabilities => ({
  bounding: CAPABILITIES,
  effective: CAPABILITIES,
  permitted: CAPABILITIES,
})

const toRoot = (id: number): IdMapping => ({ containerID: 0, hostID: id, size: 1 })

const mounts = (rootless: boolean): readonly Mount[] => [
  { destination: '/proc', type: 'proc', source: 'proc' },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    // Group 5 (tty) has no mapping in a user namespace of one id.
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', ...(rootless ? [] : ['gid=5'])],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  // A new sysfs needs a network namespace of the same user namespace.
  rootless
    ? { destination: '/sys', type: 'none', source: '/sys', options: ['rbind', 'nosuid', 'noexec', 'nodev', 'ro'] }
    : { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
  {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
  },
]
