/** Valid configurations to start mutations from: what engines write, and one with every property there is. */
import { readFileSync } from 'node:fs'
import { defaultSpec } from '../../src/spec/default.ts'

// biome-ignore lint/suspicious/noExplicitAny: any part of the document may be changed
type Document = any

const plain = (): Document => {
  const spec: Document = structuredClone(defaultSpec())
  spec.process.terminal = false
  spec.process.args = ['/bin/true']
  return spec
}

const seccomp = (name: string): Document =>
  JSON.parse(readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8'))

/** As Docker and podman: a profile, limits, a cgroup of their naming. */
const engine = (): Document => {
  const spec = plain()
  spec.linux.seccomp = seccomp('docker-seccomp.json')
  spec.linux.cgroupsPath = '/berth/engine'
  spec.linux.resources = {
    devices: [
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' },
    ],
    memory: { limit: 67108864, swap: 134217728, reservation: 33554432 },
    cpu: { shares: 512, quota: 50000, period: 100000, cpus: '0' },
    pids: { limit: 100 },
  }
  spec.annotations = { 'org.example.name': 'value' }
  spec.process.oomScoreAdj = 100
  return spec
}

/** As Kubernetes' CRI: namespaces of a pod by path, read-only mounts of files. */
const pod = (): Document => {
  const spec = plain()
  spec.linux.namespaces = [
    { type: 'pid' },
    { type: 'mount' },
    { type: 'cgroup' },
    { type: 'ipc', path: '/proc/1/ns/ipc' },
    { type: 'uts', path: '/proc/1/ns/uts' },
    { type: 'network', path: '/proc/1/ns/net' },
  ]
  delete spec.hostname
  spec.mounts.push({
    destination: '/etc/hosts',
    type: 'bind',
    source: '/etc/hosts',
    options: ['rbind', 'rprivate', 'ro'],
  })
  spec.process.user = { uid: 1000, gid: 1000, additionalGids: [1000, 2000] }
  return spec
}

/** A user namespace, and all that a property can be given on any host. */
const full = (): Document => {
  const spec = plain()
  spec.domainname = 'example'
  spec.process.user = { uid: 0, gid: 0, umask: 18, additionalGids: [1] }
  spec.process.rlimits = [{ type: 'RLIMIT_CORE', soft: 0, hard: 0 }]
  spec.process.ioPriority = { class: 'IOPRIO_CLASS_BE', priority: 4 }
  spec.process.scheduler = { policy: 'SCHED_OTHER', nice: 5 }
  spec.process.execCPUAffinity = { initial: '0', final: '0' }
  spec.linux.namespaces.push({ type: 'user' }, { type: 'cgroup' }, { type: 'time' })
  spec.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
  spec.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
  spec.linux.timeOffsets = { monotonic: { secs: 10, nanosecs: 5 }, boottime: { secs: 20 } }
  spec.linux.sysctl = { 'net.ipv4.ip_forward': '1', 'kernel.shmmax': '65536' }
  spec.linux.rootfsPropagation = 'rprivate'
  spec.linux.personality = { domain: 'LINUX' }
  spec.linux.memoryPolicy = { mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] }
  spec.linux.devices = [{ path: '/dev/own', type: 'c', major: 1, minor: 3, fileMode: 438, uid: 0, gid: 0 }]
  spec.linux.mountLabel = ''
  spec.linux.resources.hugepageLimits = []
  spec.linux.resources.rdma = {}
  spec.linux.resources.network = {}
  spec.linux.resources.blockIO = {}
  spec.hooks = {
    createRuntime: [{ path: '/bin/true', args: ['true'], env: ['A=b'], timeout: 5 }],
    createContainer: [{ path: '/bin/true' }],
    poststop: [{ path: '/bin/true' }],
  }
  spec.mounts.push({ destination: '/t', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'size=1m', 'mode=1777'] })
  return spec
}

/** What takes a partner outside: an agent, a network device, a class of service. */
const attached = (): Document => {
  const spec = plain()
  spec.linux.seccomp = {
    defaultAction: 'SCMP_ACT_ALLOW',
    flags: ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'],
    listenerPath: '/run/agent',
    listenerMetadata: 'm',
    syscalls: [
      { names: ['mkdir'], action: 'SCMP_ACT_NOTIFY', args: [{ index: 1, value: 511, op: 'SCMP_CMP_NE' }] },
      { names: ['rmdir'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 },
    ],
  }
  spec.linux.netDevices = { eth0: { name: 'net%d' } }
  spec.linux.intelRdt = { closID: 'c', schemata: ['L3:0=f'], l3CacheSchema: 'L3:0=f', enableMonitoring: true }
  spec.process.scheduler = { policy: 'SCHED_DEADLINE', flags: [], runtime: 1000, deadline: 2000, period: 3000 }
  return spec
}

export const seeds = (): Document[] => [plain(), engine(), pod(), full(), attached()]
