/** A system call as the supervisor tells of it (docs/internals.md, "The supervisor's calls"), and as a module sees it. */

import { constants } from 'node:os'
import { JUDGED_CALLS } from '../../judges.ts'
import type { ModuleCall } from '../../types.ts'

interface Common {
  /** The kind of call that is judged. */
  readonly call: ModuleCall
  /** The system call itself, such as openat or sendmsg. */
  readonly syscall: string
  /** Process and thread, as the node sees them. */
  readonly pid: number
  readonly tid: number
  /** Of the caller, in force, as its container sees them. */
  readonly uid: number
  readonly gid: number
}

export interface ExecveEvent extends Common {
  readonly call: 'execve'
  /** The file, without symlinks, in the container. */
  readonly path: string
  /** What runs it, where it is a script. */
  readonly interpreter?: string
  readonly argv: readonly string[]
  /** False where there are more arguments than are told. */
  readonly complete: boolean
}

export interface AddressEvent extends Common {
  readonly call: 'connect' | 'bind'
  readonly family: 'ipv4' | 'ipv6' | 'unix' | number
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'stream' | 'datagram' | 'seqpacket' | number
  /** Of ipv4 and ipv6. An IPv4 address is told as such, however it was written. */
  readonly address?: string
  readonly port?: number
  /** Of unix: without symlinks, in the container. */
  readonly path?: string
  /** Of unix: a name in no file system. */
  readonly name?: string
}

export interface OpenEvent extends Common {
  readonly call: 'open'
  /** Without symlinks, in the container. */
  readonly path: string
  /** O_*, as of open(2). */
  readonly flags: number
  readonly read: boolean
  readonly write: boolean
  /** Nothing is there yet: it is to be made, with these permissions before the umask. */
  readonly create: boolean
  readonly mode: number
}

export type SyscallEvent = ExecveEvent | AddressEvent | OpenEvent

/** Reads fields one behind the other; throws RangeError beyond the end. */
class Fields {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }
  u32(): number {
    const value = this.#bytes.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }
  bytes(): Buffer {
    const length = this.u32()
    if (this.#at + length > this.#bytes.length) throw new RangeError('beyond the end')
    const value = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return value
  }
  /** What is no UTF-8 is told as U+FFFD. */
  text(): string {
    return this.bytes().toString('utf8')
  }
  /** With a NUL behind it. */
  string(): string {
    const text = this.text()
    this.#at += 1
    return text
  }
}

const AF = { unspecified: 0, unix: 1, ipv4: 2, ipv6: 10 } as const
const SOCK = { stream: 1, datagram: 2, seqpacket: 5 } as const
const IPPROTO = { icmp: 1, icmpv6: 58, tcp: 6, udp: 17, mptcp: 262 } as const
const O = { accessMode: 3, writeOnly: 1, readWrite: 2, create: 0o100, truncate: 0o1000 } as const

const protocolOf = (domain: number, type: number, protocol: number): AddressEvent['protocol'] => {
  if (domain === AF.unix)
    return type === SOCK.stream
      ? 'stream'
      : type === SOCK.datagram
        ? 'datagram'
        : type === SOCK.seqpacket
          ? 'seqpacket'
          : type
  if (protocol === IPPROTO.tcp || protocol === IPPROTO.mptcp) return 'tcp'
  if (protocol === IPPROTO.udp) return 'udp'
  return protocol === IPPROTO.icmp || protocol === IPPROTO.icmpv6 ? 'icmp' : protocol
}

const ipv4 = (bytes: Buffer): string => bytes.join('.')

/** RFC 5952. */
const ipv6 = (bytes: Buffer): string => {
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':')
  return new URL(`http://[${words}]/`).hostname.slice(1, -1)
}

const MAPPED = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])

type Address = Pick<AddressEvent, 'family' | 'address' | 'port' | 'path' | 'name'>

const addressOf = (raw: Buffer, domain: number, path: string): Address => {
  // bind(2) takes an address without a family for one of IPv4.
  const written = raw.length >= 2 ? raw.readUInt16LE(0) : domain
  const family = written === AF.unspecified ? domain : written
  if (family === AF.unix) {
    if (path !== '') return { family: 'unix', path }
    return { family: 'unix', name: raw.length > 2 ? raw.subarray(3).toString('utf8') : '' }
  }
  if (family === AF.ipv4 && raw.length >= 8)
    return { family: 'ipv4', port: raw.readUInt16BE(2), address: ipv4(raw.subarray(4, 8)) }
  if (family === AF.ipv6 && raw.length >= 24) {
    const port = raw.readUInt16BE(2)
    const address = raw.subarray(8, 24)
    if (address.subarray(0, 12).equals(MAPPED)) return { family: 'ipv4', port, address: ipv4(address.subarray(12)) }
    return { family: 'ipv6', port, address: ipv6(address) }
  }
  return { family }
}

const openOf = (fields: Fields): Omit<OpenEvent, keyof Common> => {
  const path = fields.text()
  const flags = fields.u32()
  const mode = fields.u32()
  const create = fields.u32() === 0
  const access = flags & O.accessMode
  return {
    path,
    flags,
    mode,
    create,
    read: access !== O.writeOnly,
    write: create || access === O.writeOnly || access === O.readWrite || (flags & O.truncate) !== 0,
  }
}

const socketOf = (fields: Fields): Omit<AddressEvent, keyof Common> => {
  const domain = fields.u32()
  const type = fields.u32()
  const protocol = fields.u32()
  const raw = fields.bytes()
  return { protocol: protocolOf(domain, type, protocol), ...addressOf(raw, domain, fields.text()) }
}

const execveOf = (fields: Fields): Omit<ExecveEvent, keyof Common> => {
  const path = fields.text()
  const interpreter = fields.text()
  const argv = fields.text()
  return {
    path,
    ...(interpreter === '' ? {} : { interpreter }),
    argv: argv === '' ? [] : argv.slice(0, -1).split('\0'),
    complete: fields.u32() === 1,
  }
}

/** Throws RangeError where it is cut short. */
export const readEvent = (bytes: Buffer): SyscallEvent => {
  const fields = new Fields(bytes)
  const call = JUDGED_CALLS[fields.u32()]
  const syscall = fields.string()
  const common = { syscall, pid: fields.u32(), tid: fields.u32(), uid: fields.u32(), gid: fields.u32() }
  if (call === 'execve') return { call, ...common, ...execveOf(fields) }
  if (call === 'open') return { call, ...common, ...openOf(fields) }
  if (call === 'connect' || call === 'bind') return { call, ...common, ...socketOf(fields) }
  throw new RangeError('a call of an unknown kind')
}

const EPERM = constants.errno.EPERM

/** The errno that a verdict stands for; 0: it is allowed. Anything that is no verdict refuses. */
export const errnoOf = (verdict: unknown): number => {
  if (verdict === 'allow') return 0
  if (typeof verdict !== 'object' || verdict === null || !('errno' in verdict)) return EPERM
  const { errno } = verdict
  const number = typeof errno === 'string' ? (constants.errno as Readonly<Record<string, number>>)[errno] : errno
  return typeof number === 'number' && Number.isInteger(number) && number > 0 && number < 4096 ? number : EPERM
}
