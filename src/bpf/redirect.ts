/**
 * Programs that lead TCP connections for some ports to the HTTP proxy's sockets instead, and leave for it where each was going (trap 23).
 *
 * connect4 and connect6 note the destination under the socket's cookie, as the socket has no address of its own yet. Once it has one, before its
 * first packet, sock_ops moves the note to that address, which is what the proxy sees of who it accepts. The note is gone with its reader or
 * with the socket, so that whoever gets the address next inherits nothing.
 */

import { FRAME, type Instruction, type Label, loadMap, OPCODE } from './assemble.ts'
import { type Attachment, assembled, bigEndian, COUNTS, countAndRefuse, NUMBERS, PROGRAM } from './network.ts'

type Program = readonly (Instruction | Label)[]

// linux/bpf.h
const ATTACH = { sockOps: 3, connect4: 10, connect6: 11, sendmsg4: 14, sendmsg6: 15 } as const
const HELPER = { lookup: 1, update: 2, delete: 3, cookie: 46, setCallbacks: 59 } as const
/** struct bpf_sock_addr */
const ADDRESS = { ip4: 4, ip6: 8, port: 24, protocol: 36 } as const
/** struct bpf_sock_ops */
const OPS = { op: 0, newState: 8, localIp4: 28, localIp6: 48, localPort: 68, callbacks: 84 } as const
const CONNECTING = 3 // BPF_SOCK_OPS_TCP_CONNECT_CB
const STATE_CHANGES = 10 // BPF_SOCK_OPS_STATE_CB
const STATE_FLAG = 4 // BPF_SOCK_OPS_STATE_CB_FLAG
const CLOSED = 7 // BPF_TCP_CLOSE

/** The maps that programs are loaded with, by their numbers; COUNTS of network.ts is one of them. */
export const REDIRECT_MAPS = { proxy: 0, counts: COUNTS, cookies: 2, connections: 3 } as const
/** An address: u32 family (4 or 6), u32 port, 16 bytes. Ports of destinations are big endian, a connection's own is not. */
export const ENDPOINT = { size: 24, port: 4, address: 8 } as const
/** What a connection's address leads to: the cookie of its socket, and its destination. */
export const NOTE = { size: 8 + ENDPOINT.size, destination: 8 } as const
/** Numbers of counters of refused datagrams, and of connections that there is no proxy for. */
export const REDIRECT_COUNTERS = { datagrams: 0, connections: 1, all: 2 } as const
/** The proxy's ports in the first map, both big endian: for IPv4 and for IPv6, 0 where it does not listen. */
export const PROXY = { size: 8, ip6: 4 } as const

const R0 = 0
const CONTEXT = 6
/** On the stack: an index, a cookie, an address, a note. */
const INDEX = -8
const COOKIE = -16
const KEY = COOKIE - ENDPOINT.size
const VALUE = KEY - NOTE.size

const move = (dst: number, imm: number): Instruction => ({ code: OPCODE.move64, dst, imm })
const copy = (dst: number, src: number): Instruction => ({ code: OPCODE.move64From, dst, src })
const jump = (to: string): Instruction => ({ code: OPCODE.jump, to })
const call = (imm: number): Instruction => ({ code: OPCODE.call, imm })
const context = (dst: number, off: number): Instruction => ({ code: OPCODE.load32, dst, src: CONTEXT, off })
const setContext = (src: number, off: number): Instruction => ({ code: OPCODE.store32, dst: CONTEXT, src, off })
const put32 = (off: number, src: number): Instruction => ({ code: OPCODE.store32, dst: FRAME, src, off })
const put64 = (off: number, src: number): Instruction => ({ code: OPCODE.store64, dst: FRAME, src, off })
const set32 = (off: number, imm: number): Instruction => ({ code: OPCODE.storeImm32, dst: FRAME, off, imm })
const stack = (dst: number, off: number): Instruction[] => [copy(dst, FRAME), { code: OPCODE.add64, dst, imm: off }]
const end = (verdict: 0 | 1): Instruction[] => [move(R0, verdict), { code: OPCODE.exit }]
const refuse = (counter: number): Program => [set32(INDEX, counter), jump('refuse')]

const lookup = (map: number, key: number): Program => [...loadMap(1, map), ...stack(2, key), call(HELPER.lookup)]
const update = (map: number, key: number, value: number): Program => [
  ...loadMap(1, map),
  ...stack(2, key),
  ...stack(3, value),
  move(4, 0),
  call(HELPER.update),
]
/** The cookie of the socket at hand. */
const cookie: Program = [copy(1, CONTEXT), call(HELPER.cookie), put64(COOKIE, R0)]
/** Words 2 to 5, which are registers too, or zeros, as the address at `off`. */
const putWords = (off: number, words: number): Program =>
  [0, 1, 2, 3].map((word) => (word < words ? put32(off + 4 * word, 2 + word) : set32(off + 4 * word, 0)))

/** As the bytes of 127.0.0.1, ::1 and ::ffff:0:0 lie in words. */
const LOOPBACK4 = 0x0100007f
const LAST_OF_LOOPBACK6 = 0x01000000
const MAPPED = 0xffff0000

const onPorts = (ports: readonly number[], to: string): Program =>
  ports.map((port): Instruction => ({ code: OPCODE.jumpIf, dst: 3, imm: bigEndian(port), to }))

/** Registers 2 and 3: protocol and port. Goes on at `redirect` for TCP to one of these ports; a datagram is refused; all else is none of ours. */
const ours = (ports: readonly number[], datagrams: readonly number[]): Program => [
  copy(CONTEXT, 1),
  context(2, ADDRESS.protocol),
  context(3, ADDRESS.port),
  { code: OPCODE.jumpIf, dst: 2, imm: NUMBERS.tcp, to: 'tcp' },
  { code: OPCODE.jumpIfNot, dst: 2, imm: NUMBERS.udp, to: 'pass' },
  ...onPorts(datagrams, 'datagram'),
  jump('pass'),
  { label: 'datagram' },
  ...refuse(REDIRECT_COUNTERS.datagrams),
  { label: 'tcp' },
  ...onPorts(ports, 'redirect'),
  { label: 'pass' },
  ...end(1),
]

/** Behind the note: the proxy's port for this family, in register 1, or the connection is refused. */
const portOf = (off: number): Program => [
  set32(INDEX, 0),
  ...lookup(REDIRECT_MAPS.proxy, INDEX),
  { code: OPCODE.jumpIf, dst: R0, imm: 0, to: 'nowhere' },
  { code: OPCODE.load32, dst: 1, src: R0, off },
  { code: OPCODE.jumpIf, dst: 1, imm: 0, to: 'nowhere' },
]

const note = (family: 4 | 6): Program => [
  set32(KEY, family),
  ...cookie,
  ...update(REDIRECT_MAPS.cookies, COOKIE, KEY),
  { code: OPCODE.jumpIfNot, dst: R0, imm: 0, to: 'nowhere' },
  ...portOf(family === 4 ? 0 : PROXY.ip6),
]

const toRedirect4: Program = [
  put32(KEY + ENDPOINT.port, 3),
  context(2, ADDRESS.ip4),
  ...putWords(KEY + ENDPOINT.address, 1),
  ...note(4),
  move(2, LOOPBACK4),
  setContext(2, ADDRESS.ip4),
  setContext(1, ADDRESS.port),
  ...end(1),
]

/** A mapped address is one of IPv4, and the socket is led to the loopback of that. */
const toRedirect6: Program = [
  put32(KEY + ENDPOINT.port, 3),
  ...[0, 1, 2, 3].map((word) => context(2 + word, ADDRESS.ip6 + 4 * word)),
  { code: OPCODE.jumpIfNot, dst: 2, imm: 0, to: 'ip6' },
  { code: OPCODE.jumpIfNot, dst: 3, imm: 0, to: 'ip6' },
  { code: OPCODE.jumpIfNot32, dst: 4, imm: MAPPED, to: 'ip6' },
  copy(2, 5),
  ...putWords(KEY + ENDPOINT.address, 1),
  ...note(4),
  move(2, LOOPBACK4),
  setContext(2, ADDRESS.ip6 + 12),
  setContext(1, ADDRESS.port),
  ...end(1),
  { label: 'ip6' },
  ...putWords(KEY + ENDPOINT.address, 4),
  ...note(6),
  move(2, 0),
  ...[0, 1, 2].map((word) => setContext(2, ADDRESS.ip6 + 4 * word)),
  move(2, LAST_OF_LOOPBACK6),
  setContext(2, ADDRESS.ip6 + 12),
  setContext(1, ADDRESS.port),
  ...end(1),
]

const refused: Program = [
  { label: 'nowhere' },
  ...refuse(REDIRECT_COUNTERS.connections),
  { label: 'refuse' },
  ...countAndRefuse(INDEX),
]

const connectProgram = (family: 4 | 6, ports: readonly number[], datagrams: readonly number[]): Program => [
  ...ours(ports, datagrams),
  { label: 'redirect' },
  ...(family === 4 ? toRedirect4 : toRedirect6),
  ...refused,
]

/** sendto without a connect. */
const sendProgram = (datagrams: readonly number[]): Program => [
  ...ours([], datagrams),
  { label: 'refuse' },
  ...countAndRefuse(INDEX),
]

/** The address of the socket at hand as a key, in either family. */
const ownAddress = (family: 4 | 6): Program => [
  set32(KEY, family),
  context(2, OPS.localPort),
  put32(KEY + ENDPOINT.port, 2),
  ...(family === 4 ? [0] : [0, 1, 2, 3]).map((word) =>
    context(2 + word, (family === 4 ? OPS.localIp4 : OPS.localIp6) + 4 * word),
  ),
  ...putWords(KEY + ENDPOINT.address, family === 4 ? 1 : 4),
]

/** Takes the note at this socket's address away, if it is of this socket. */
const forget = (family: 4 | 6): Program => [
  ...ownAddress(family),
  ...lookup(REDIRECT_MAPS.connections, KEY),
  { code: OPCODE.jumpIf, dst: R0, imm: 0, to: `not ${family}` },
  { code: OPCODE.load64, dst: 1, src: R0 },
  { code: OPCODE.load64, dst: 2, src: FRAME, off: COOKIE },
  { code: OPCODE.jumpIfNotFrom, dst: 1, src: 2, to: `not ${family}` },
  ...loadMap(1, REDIRECT_MAPS.connections),
  ...stack(2, KEY),
  call(HELPER.delete),
  { label: `not ${family}` },
]

const remember = (family: 4 | 6): Program => [
  ...ownAddress(family),
  ...update(REDIRECT_MAPS.connections, KEY, VALUE),
  ...loadMap(1, REDIRECT_MAPS.cookies),
  ...stack(2, COOKIE),
  call(HELPER.delete),
  // What other programs have asked to be told stays asked for.
  context(2, OPS.callbacks),
  { code: OPCODE.or32, dst: 2, imm: STATE_FLAG },
  copy(1, CONTEXT),
  call(HELPER.setCallbacks),
  ...end(1),
]

const sockOpsProgram: Program = [
  copy(CONTEXT, 1),
  context(2, OPS.op),
  { code: OPCODE.jumpIf, dst: 2, imm: CONNECTING, to: 'connecting' },
  { code: OPCODE.jumpIfNot, dst: 2, imm: STATE_CHANGES, to: 'done' },
  context(2, OPS.newState),
  { code: OPCODE.jumpIfNot, dst: 2, imm: CLOSED, to: 'done' },
  ...cookie,
  ...forget(4),
  ...forget(6),
  { label: 'done' },
  ...end(1),
  { label: 'connecting' },
  ...cookie,
  ...lookup(REDIRECT_MAPS.cookies, COOKIE),
  { code: OPCODE.jumpIf, dst: R0, imm: 0, to: 'done' },
  { code: OPCODE.load64, dst: 1, src: FRAME, off: COOKIE },
  put64(VALUE, 1),
  ...[0, 8, 16].flatMap((off) => [
    { code: OPCODE.load64, dst: 1, src: R0, off },
    put64(VALUE + NOTE.destination + off, 1),
  ]),
  { code: OPCODE.load32, dst: 1, src: R0 },
  { code: OPCODE.jumpIf, dst: 1, imm: 6, to: 'six' },
  ...remember(4),
  { label: 'six' },
  ...remember(6),
]

/** `datagrams`: ports that nothing may be sent to by UDP, as HTTP/3 would be seen by nobody. */
export const redirectPrograms = (ports: readonly number[], datagrams: readonly number[]): readonly Attachment[] => [
  assembled(PROGRAM.sockOps, ATTACH.sockOps, sockOpsProgram),
  assembled(PROGRAM.address, ATTACH.connect4, connectProgram(4, ports, datagrams)),
  assembled(PROGRAM.address, ATTACH.connect6, connectProgram(6, ports, datagrams)),
  assembled(PROGRAM.address, ATTACH.sendmsg4, sendProgram(datagrams)),
  assembled(PROGRAM.address, ATTACH.sendmsg6, sendProgram(datagrams)),
]
