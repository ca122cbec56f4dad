/** linux.resources → files of the v2 controllers. */

import { BerthError } from '../errors.ts'
import type { BlockIoResources, CpuResources, MemoryResources, Resources } from '../spec/types.ts'
import { given, idleOrShares, maxOr, pidsLimit, RESOURCES, SettingList, type Settings } from './setting.ts'
import { rdmaLimit } from './v1.ts'

/**
 * v1 shares (2 to 262144) as a v2 weight (1 to 10000): a curve through (2, 1), (1024, 100) and (262144, 10000), so that the default of
 * one is the default of the other.
 */
export const sharesToWeight = (shares: bigint): number => {
  if (shares <= 2n) return 1
  if (shares >= 262144n) return 10000
  const log = Math.log2(Number(shares))
  const weight = 10 ** ((log * log + 125 * log) / 612 - 7 / 34)
  return Math.ceil(weight - 1e-9)
}

/** A v1 blkio weight (10 to 1000) as a v2 io.weight (1 to 10000). */
export const ioWeight = (weight: number): number => Math.floor(1 + ((weight - 10) * 9999) / 990)

const unsupported = (pointer: string, why: string): never => {
  throw new BerthError('unsupported', `${pointer.slice(1).replaceAll('/', '.')}: ${why}`, { pointer })
}

const memory = (list: SettingList, memory: MemoryResources | undefined): void => {
  if (!memory) return
  list.add('memory', 'memory.max', maxOr(given(memory.limit)), 'memory/limit')
  const swap = swapOnly(memory)
  // Without the file swap is not counted, so it has no limit.
  if (swap === 'max') list.addOptional('memory', 'memory.swap.max', swap, 'memory/swap')
  else list.add('memory', 'memory.swap.max', swap, 'memory/swap')
  list.add('memory', 'memory.low', maxOr(given(memory.reservation)), 'memory/reservation')
  if (memory.swappiness !== undefined)
    list.warnings.push('linux.resources.memory.swappiness is ignored: cgroup v2 has none')
  if (memory.disableOOMKiller)
    list.warnings.push('linux.resources.memory.disableOOMKiller is ignored: cgroup v2 has no such switch')
  if (memory.kernel !== undefined || memory.kernelTCP !== undefined)
    list.warnings.push('linux.resources.memory.kernel and kernelTCP are ignored, as the specification recommends')
}

/** config.json limits memory plus swap, v2 swap alone. */
const swapOnly = ({ limit, swap }: MemoryResources): string | undefined => {
  if (swap === undefined || swap === 0n) return undefined
  if (swap < 0n) return 'max'
  if (limit === undefined || limit < 0n)
    return unsupported(`${RESOURCES}/memory/swap`, 'cgroup v2 needs memory.limit beside it')
  if (swap < limit)
    throw new BerthError('invalid', 'linux.resources.memory.swap: is memory plus swap, and below memory.limit', {
      pointer: `${RESOURCES}/memory/swap`,
    })
  return String(swap - limit)
}

const cpu = (list: SettingList, cpu: CpuResources | undefined): void => {
  if (!cpu) return
  if (cpu.realtimeRuntime || cpu.realtimePeriod)
    unsupported(`${RESOURCES}/cpu/realtimeRuntime`, 'cgroup v2 has no realtime limits')
  idleOrShares(list, cpu, 'cpu.weight', cpu.shares ? sharesToWeight(cpu.shares) : undefined)
  if (cpu.quota || cpu.period) {
    const quota = cpu.quota && cpu.quota > 0n ? String(cpu.quota) : 'max'
    list.add('cpu', 'cpu.max', cpu.period ? `${quota} ${cpu.period}` : quota, cpu.quota ? 'cpu/quota' : 'cpu/period')
  }
  list.add('cpu', 'cpu.max.burst', cpu.burst, 'cpu/burst')
  list.add('cpuset', 'cpuset.cpus', cpu.cpus || undefined, 'cpu/cpus')
  list.add('cpuset', 'cpuset.mems', cpu.mems || undefined, 'cpu/mems')
}

const THROTTLES = [
  ['throttleReadBpsDevice', 'rbps'],
  ['throttleWriteBpsDevice', 'wbps'],
  ['throttleReadIOPSDevice', 'riops'],
  ['throttleWriteIOPSDevice', 'wiops'],
] as const

const io = (list: SettingList, io: BlockIoResources | undefined): void => {
  if (!io) return
  if (io.leafWeight) unsupported(`${RESOURCES}/blockIO/leafWeight`, 'cgroup v2 has no leaf weights')
  // The two schedulers that know weights: BFQ's has the range of v1, and its file is there with it only.
  if (io.weight) {
    list.addOptional('io', 'io.bfq.weight', io.weight, 'blockIO/weight')
    list.add('io', 'io.weight', `default ${ioWeight(io.weight)}`, 'blockIO/weight')
  }
  for (const [index, device] of (io.weightDevice ?? []).entries()) {
    const pointer = `blockIO/weightDevice/${index}`
    if (device.leafWeight) unsupported(`${RESOURCES}/${pointer}/leafWeight`, 'cgroup v2 has no leaf weights')
    if (device.weight)
      list.add('io', 'io.weight', `${device.major}:${device.minor} ${ioWeight(device.weight)}`, pointer)
  }
  for (const [property, key] of THROTTLES)
    for (const [index, device] of (io[property] ?? []).entries())
      list.add(
        'io',
        'io.max',
        `${device.major}:${device.minor} ${key}=${device.rate === 0n ? 'max' : device.rate}`,
        `blockIO/${property}/${index}`,
      )
}

/** `unified` names files; the controller is what stands before the first dot. */
const unified = (list: SettingList, values: Readonly<Record<string, string>> | undefined): void => {
  for (const [file, value] of Object.entries(values ?? {})) {
    const pointer = `unified/${file.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const controller = /^([a-z_]+)\.[^/]+$/.exec(file)?.[1]
    if (controller === undefined)
      throw new BerthError('invalid', `linux.resources.unified: "${file}" is no file of a cgroup`, {
        pointer: `${RESOURCES}/${pointer}`,
      })
    // A file may take one line at a time (io.max).
    for (const line of value.split('\n').filter((text) => text !== '')) list.add(controller, file, line, pointer)
  }
}

/** What to write, in this order, into a new cgroup of a unified hierarchy. Device rules are no file here: device-filter.ts. */
export const v2Settings = (resources: Resources, ociVersion: string): Settings => {
  const list = new SettingList()
  if (resources.network?.classID !== undefined || resources.network?.priorities?.length)
    unsupported(`${RESOURCES}/network`, 'cgroup v2 has no net_cls and net_prio')
  memory(list, resources.memory)
  cpu(list, resources.cpu)
  list.add('pids', 'pids.max', pidsLimit(resources.pids?.limit, ociVersion), 'pids/limit')
  io(list, resources.blockIO)
  for (const [index, { pageSize, limit }] of (resources.hugepageLimits ?? []).entries()) {
    // Reservations too (Linux 5.7), or a process could reserve what it is later killed for touching.
    list.addOptional('hugetlb', `hugetlb.${pageSize}.rsvd.max`, limit, `hugepageLimits/${index}/limit`)
    list.add('hugetlb', `hugetlb.${pageSize}.max`, limit, `hugepageLimits/${index}/limit`)
  }
  for (const [device, limit] of Object.entries(resources.rdma ?? {}))
    list.add('rdma', 'rdma.max', rdmaLimit(device, limit), `rdma/${device}`)
  unified(list, resources.unified)
  return list
}
