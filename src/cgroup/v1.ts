/** linux.resources → files of the v1 controllers. The devices controller is in devices.ts. */

import { BerthError } from '../errors.ts'
import type { BlockIoResources, Resources, ThrottleDevice } from '../spec/types.ts'
import { given, idleOrShares, pidsLimit, RESOURCES, SettingList, type Settings } from './setting.ts'

const memory = (list: SettingList, { memory }: Resources): void => {
  if (!memory) return
  // The limit of memory plus swap can't be below that of memory, and starts out as unlimited: memory first.
  list.add('memory', 'memory.limit_in_bytes', given(memory.limit), 'memory/limit')
  list.add('memory', 'memory.memsw.limit_in_bytes', given(memory.swap), 'memory/swap')
  list.add('memory', 'memory.soft_limit_in_bytes', given(memory.reservation), 'memory/reservation')
  list.add('memory', 'memory.swappiness', memory.swappiness, 'memory/swappiness')
  if (memory.disableOOMKiller) list.add('memory', 'memory.oom_control', 1, 'memory/disableOOMKiller')
  if (memory.kernel !== undefined || memory.kernelTCP !== undefined)
    list.warnings.push('linux.resources.memory.kernel and kernelTCP are ignored, as the specification recommends')
}

const cpu = (list: SettingList, { cpu }: Resources): void => {
  if (!cpu) return
  idleOrShares(list, cpu, 'cpu.shares', given(cpu.shares))
  // The period first: a new cgroup has no quota that a new period could contradict.
  list.add('cpu', 'cpu.cfs_period_us', given(cpu.period), 'cpu/period')
  list.add('cpu', 'cpu.cfs_quota_us', given(cpu.quota), 'cpu/quota')
  list.add('cpu', 'cpu.cfs_burst_us', cpu.burst, 'cpu/burst')
  list.add('cpu', 'cpu.rt_period_us', given(cpu.realtimePeriod), 'cpu/realtimePeriod')
  list.add('cpu', 'cpu.rt_runtime_us', given(cpu.realtimeRuntime), 'cpu/realtimeRuntime')
  list.add('cpuset', 'cpuset.cpus', cpu.cpus || undefined, 'cpu/cpus')
  list.add('cpuset', 'cpuset.mems', cpu.mems || undefined, 'cpu/mems')
}

const THROTTLES = [
  ['throttleReadBpsDevice', 'blkio.throttle.read_bps_device'],
  ['throttleWriteBpsDevice', 'blkio.throttle.write_bps_device'],
  ['throttleReadIOPSDevice', 'blkio.throttle.read_iops_device'],
  ['throttleWriteIOPSDevice', 'blkio.throttle.write_iops_device'],
] as const

const noLeafWeight = (pointer: string): never => {
  throw new BerthError(
    'unsupported',
    `${pointer.slice(1).replaceAll('/', '.')}: no kernel since 5.0 has leaf weights`,
    {
      pointer,
    },
  )
}

const blkio = (list: SettingList, io: BlockIoResources | undefined): void => {
  if (!io) return
  if (io.leafWeight) noLeafWeight(`${RESOURCES}/blockIO/leafWeight`)
  // Weights are BFQ's: the scheduler that had blkio.weight left with Linux 5.0.
  list.add('blkio', 'blkio.bfq.weight', io.weight || undefined, 'blockIO/weight')
  for (const [index, device] of (io.weightDevice ?? []).entries()) {
    const pointer = `blockIO/weightDevice/${index}`
    if (device.leafWeight) noLeafWeight(`${RESOURCES}/${pointer}/leafWeight`)
    if (device.weight)
      list.add('blkio', 'blkio.bfq.weight_device', `${device.major}:${device.minor} ${device.weight}`, pointer)
  }
  for (const [property, file] of THROTTLES)
    for (const [index, device] of ((io[property] ?? []) as readonly ThrottleDevice[]).entries())
      list.add('blkio', file, `${device.major}:${device.minor} ${device.rate}`, `blockIO/${property}/${index}`)
}

/** What to write, in this order, into a new cgroup of the v1 controllers. */
export const v1Settings = (resources: Resources, ociVersion: string): Settings => {
  const list = new SettingList()
  memory(list, resources)
  cpu(list, resources)
  list.add('pids', 'pids.max', pidsLimit(resources.pids?.limit, ociVersion), 'pids/limit')
  blkio(list, resources.blockIO)
  for (const [index, { pageSize, limit }] of (resources.hugepageLimits ?? []).entries()) {
    // Reservations too (Linux 5.7), or a process could reserve what it is later killed for touching.
    list.addOptional('hugetlb', `hugetlb.${pageSize}.rsvd.limit_in_bytes`, limit, `hugepageLimits/${index}/limit`)
    list.add('hugetlb', `hugetlb.${pageSize}.limit_in_bytes`, limit, `hugepageLimits/${index}/limit`)
  }
  list.add('net_cls', 'net_cls.classid', resources.network?.classID, 'network/classID')
  for (const [index, { name, priority }] of (resources.network?.priorities ?? []).entries())
    list.add('net_prio', 'net_prio.ifpriomap', `${name} ${priority}`, `network/priorities/${index}`)
  for (const [device, limit] of Object.entries(resources.rdma ?? {}))
    list.add('rdma', 'rdma.max', rdmaLimit(device, limit), `rdma/${device}`)
  return list
}

/** `mlx4_0 hca_handle=2 hca_object=max`. */
export const rdmaLimit = (device: string, limit: { hcaHandles?: number; hcaObjects?: number }): string =>
  `${device} hca_handle=${limit.hcaHandles ?? 'max'} hca_object=${limit.hcaObjects ?? 'max'}`
