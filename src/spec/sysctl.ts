/** IPC settings that each IPC namespace has of its own (ipc_namespaces(7)). */
const IPC = new Set(
  ['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmall', 'shmmax', 'shmmni', 'shm_rmid_forced'].map(
    (name) => `kernel/${name}`,
  ),
)

/**
 * The path below /proc/sys of a sysctl key. As in sysctl(8), the separator that comes first is the separator, and the other one stands
 * for itself: `net.ipv4.conf.eth0/1.forwarding` and `net/ipv4/conf/eth0.1/forwarding` are the same. Undefined where it is no such path.
 */
export const sysctlPath = (key: string): string | undefined => {
  const separator = /[./]/.exec(key)?.[0]
  const path = separator === '.' ? key.replace(/[./]/g, (char) => (char === '.' ? '/' : '.')) : key
  const parts = path.split('/')
  return parts.length < 2 || parts.some((part) => part === '' || part === '.' || part === '..') ? undefined : path
}

/** The namespace that keeps a setting (by its path) apart from the host's; undefined where none does. */
export const sysctlNamespace = (path: string): 'ipc' | 'network' | 'uts' | undefined => {
  if (path.startsWith('net/')) return 'network'
  if (IPC.has(path) || path.startsWith('fs/mqueue/')) return 'ipc'
  return path === 'kernel/domainname' ? 'uts' : undefined
}
