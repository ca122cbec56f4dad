/**
 * Programs that judge where a process may connect and send to, what it may bind, and which sockets it may make. They look destinations up in a
 * trie, whose values are counters' numbers, and count what they refuse.
 */

import type { PortRange } from '../policy/network.ts'
import { assemble, FRAME, type Instruction, type Label, loadMap, OPCODE } from './assemble.ts'

type Program = readonly (Instruction | Label)[]

// linux/bpf.h
export const PROGRAM = { skb: 8, socket: 9, sockOps: 13, address: 18 } as const
export const ATTACH = {
  egress: 1,
  socket: 2,
  bind4: 8,
  bind6: 9,
  connect4: 10,
  connect6: 11,
  sendmsg4: 14,
  sendmsg6: 15,
} as const
const HELPER = { lookup: 1, loadBytes: 26 } as const

/** struct bpf_sock_addr */
const ADDRESS = { ip4: 4, ip6: 8, port: 24, protocol: 36 } as const
/** struct bpf_sock */
const SOCKET = { type: 8, protocol: 12 } as const
/** __sk_buff.protocol, and what it is for IPv4 and IPv6 as the bytes lie there. */
const SKB = { protocol: 16, ip4: 0x0008, ip6: 0xdd86 } as const
const IP4 = { version: 0, protocol: 9, destination: 16 } as const
const IP6 = { next: 6, destination: 24 } as const
/** Version 4, and as many words as there are without options. */
const WITHOUT_OPTIONS = 0x45
/** Headers that have a route in them, or that one may be behind: for every hop, a route, for the destination. */
const ROUTES = [0, 43, 60] as const

const STREAM = 1
const DGRAM = 2
/** Of protocols; ICMP of IPv6 counts as the other. */
export const NUMBERS = { tcp: 6, udp: 17, icmp: 1 } as const
const ICMP6 = 58

/** The trie's key: u32 prefix length, u8 protocol, u8 family, u16 port (big endian, 0: all), 16 bytes of address. */
export const KEY = { size: 24, protocol: 4, family: 5, port: 6, address: 8, fixedBits: 32 } as const
/** Where programs build it, and behind it the number of a counter. */
const ON_STACK = -KEY.size
const COUNTER = ON_STACK - 4

/** Counters of a policy; those of its deny rules follow, then those of its denyBind rules. */
export const COUNTERS = { socket: 0, bind: 1, destination: 2, rules: 3 } as const
const R0 = 0
const CONTEXT = 6
/** The maps that programs are loaded with, by their numbers. */
export const TRIE = 0
export const COUNTS = 1

const move = (dst: number, imm: number): Instruction => ({ code: OPCODE.move64, dst, imm })
const answer = (verdict: 0 | 1): Instruction[] => [move(R0, verdict), { code: OPCODE.exit }]
const context = (dst: number, off: number): Instruction => ({ code: OPCODE.load32, dst, src: CONTEXT, off })
const jump = (to: string): Instruction => ({ code: OPCODE.jump, to })
const BEGIN: Instruction = { code: OPCODE.move64From, dst: CONTEXT, src: 1 }

/** Looks up what lies on the stack at `off`. */
const lookup = (map: number, off: number): Program => [
  ...loadMap(1, map),
  { code: OPCODE.move64From, dst: 2, src: FRAME },
  { code: OPCODE.add64, dst: 2, imm: off },
  { code: OPCODE.call, imm: HELPER.lookup },
]

/** Counts under the number that lies on the stack at `off`, and refuses. */
export const countAndRefuse = (off: number): Program => [
  ...lookup(COUNTS, off),
  { code: OPCODE.jumpIf, dst: R0, imm: 0, to: 'refused' },
  move(1, 1),
  { code: OPCODE.atomicAdd64, dst: R0, src: 1 },
  { label: 'refused' },
  ...answer(0),
]
const REFUSE = countAndRefuse(COUNTER)

const counter = (number: number): Instruction => ({ code: OPCODE.storeImm32, dst: FRAME, off: COUNTER, imm: number })
const refuse = (number: number): Program => [counter(number), jump('refuse')]

/** What follows once the destination is in the key: with its port first, then without. */
const judge = (denies: boolean): Program => [
  ...lookup(TRIE, ON_STACK),
  { code: OPCODE.jumpIfNot, dst: R0, imm: 0, to: 'match' },
  { code: OPCODE.storeImm16, dst: FRAME, off: ON_STACK + KEY.port, imm: 0 },
  ...lookup(TRIE, ON_STACK),
  { code: OPCODE.jumpIfNot, dst: R0, imm: 0, to: 'match' },
  ...(denies ? answer(1) : refuse(COUNTERS.destination)),
  { label: 'match' },
  ...(denies
    ? [
        { code: OPCODE.load32, dst: 1, src: R0 },
        { code: OPCODE.store32, dst: FRAME, src: 1, off: COUNTER },
        jump('refuse'),
      ]
    : answer(1)),
  { label: 'refuse' },
  ...REFUSE,
]

const put = (off: number, imm: number): Instruction => ({
  code: OPCODE.storeImm32,
  dst: FRAME,
  off: ON_STACK + off,
  imm,
})
const putFamily = (family: 4 | 6): Program => [
  put(0, KEY.fixedBits + (family === 4 ? 32 : 128)),
  { code: OPCODE.storeImm8, dst: FRAME, off: ON_STACK + KEY.family, imm: family },
]
const putWord = (src: number, word: number): Instruction => ({
  code: OPCODE.store32,
  dst: FRAME,
  src,
  off: ON_STACK + KEY.address + 4 * word,
})
const putAddress4 = (src: number): Program => [
  ...putFamily(4),
  putWord(src, 0),
  ...[1, 2, 3].map((word) => put(KEY.address + 4 * word, 0)),
]

/** 0x0000ffff as it lies in an address. */
const MAPPED = 0xffff0000
/** IPv6 sockets reach IPv4 addresses as ::ffff:a.b.c.d. */
const putAddress6: Program = [
  ...[0, 1, 2, 3].map((word) => context(2 + word, ADDRESS.ip6 + 4 * word)),
  { code: OPCODE.jumpIfNot, dst: 2, imm: 0, to: 'ip6' },
  { code: OPCODE.jumpIfNot, dst: 3, imm: 0, to: 'ip6' },
  { code: OPCODE.jumpIfNot32, dst: 4, imm: MAPPED, to: 'ip6' },
  ...putAddress4(5),
  jump('judge'),
  { label: 'ip6' },
  ...putFamily(6),
  ...[0, 1, 2, 3].map((word) => putWord(2 + word, word)),
]

/** As a port lies in a program's context. */
export const bigEndian = (port: number): number => ((port & 0xff) << 8) | (port >> 8)

/** For connect and sendto. TCP to ports that lead to the HTTP proxy is left to that, which knows where its own connections go. */
const destinationProgram = (family: 4 | 6, denies: boolean, proxied: readonly number[]): Program => [
  BEGIN,
  context(2, ADDRESS.protocol),
  context(3, ADDRESS.port),
  { code: OPCODE.jumpIf, dst: 2, imm: NUMBERS.tcp, to: 'tcp' },
  { code: OPCODE.jumpIf, dst: 2, imm: NUMBERS.udp, to: 'known' },
  // What stands for a port there is none.
  move(3, 0),
  { code: OPCODE.jumpIf, dst: 2, imm: NUMBERS.icmp, to: 'known' },
  { code: OPCODE.jumpIfNot, dst: 2, imm: ICMP6, to: 'unknown' },
  move(2, NUMBERS.icmp),
  jump('known'),
  { label: 'unknown' },
  ...refuse(COUNTERS.socket),
  { label: 'tcp' },
  ...proxied.map((port): Instruction => ({ code: OPCODE.jumpIf, dst: 3, imm: bigEndian(port), to: 'proxied' })),
  // The verifier wants no code that nothing leads to.
  ...(proxied.length === 0 ? [] : [jump('known'), { label: 'proxied' }, ...answer(1)]),
  { label: 'known' },
  { code: OPCODE.store8, dst: FRAME, src: 2, off: ON_STACK + KEY.protocol },
  { code: OPCODE.store16, dst: FRAME, src: 3, off: ON_STACK + KEY.port },
  ...(family === 4 ? [context(2, ADDRESS.ip4), ...putAddress4(2)] : putAddress6),
  { label: 'judge' },
  ...judge(denies),
]

/** Reads from the packet onto the stack, or refuses. */
const packet = (from: number, size: number, off: number): Program => [
  { code: OPCODE.move64From, dst: 1, src: CONTEXT },
  move(2, from),
  { code: OPCODE.move64From, dst: 3, src: FRAME },
  { code: OPCODE.add64, dst: 3, imm: off },
  move(4, size),
  { code: OPCODE.call, imm: HELPER.loadBytes },
  { code: OPCODE.jumpIfNot, dst: R0, imm: 0, to: 'unknown' },
]
/** The byte that `packet` has read over the key's protocol. */
const PROTOCOL: Instruction = { code: OPCODE.load8, dst: 2, src: FRAME, off: ON_STACK + KEY.protocol }

/**
 * A control message of sendmsg(2) can give a datagram a source route (IP_RETOPTS, IPV6_RTHDR), and then it goes to another address than the one that was
 * judged: there is no other place to see that but the packet.
 */
const STRAIGHT: Program = [
  ...packet(IP4.version, 1, ON_STACK + KEY.protocol),
  PROTOCOL,
  { code: OPCODE.jumpIfNot, dst: 2, imm: WITHOUT_OPTIONS, to: 'unknown' },
]

/** For packets on their way out, where no destination of ping is looked up. */
const routeProgram: Program = [
  BEGIN,
  counter(COUNTERS.destination),
  context(2, SKB.protocol),
  { code: OPCODE.jumpIf, dst: 2, imm: SKB.ip4, to: 'ip4' },
  { code: OPCODE.jumpIf, dst: 2, imm: SKB.ip6, to: 'ip6' },
  ...answer(1),
  { label: 'ip4' },
  ...STRAIGHT,
  ...answer(1),
  { label: 'ip6' },
  ...packet(IP6.next, 1, ON_STACK + KEY.protocol),
  PROTOCOL,
  ...ROUTES.map((imm): Instruction => ({ code: OPCODE.jumpIf, dst: 2, imm, to: 'unknown' })),
  ...answer(1),
  { label: 'unknown' },
  ...REFUSE,
]

/** For packets on their way out: a ping socket tells its destination to no other program. TCP and UDP have been judged. */
const pingProgram = (denies: boolean): Program => [
  BEGIN,
  counter(COUNTERS.destination),
  ...[0, 1, 2, 3].map((word) => put(KEY.address + 4 * word, 0)),
  { code: OPCODE.storeImm16, dst: FRAME, off: ON_STACK + KEY.port, imm: 0 },
  context(2, SKB.protocol),
  { code: OPCODE.jumpIf, dst: 2, imm: SKB.ip4, to: 'ip4' },
  { code: OPCODE.jumpIf, dst: 2, imm: SKB.ip6, to: 'ip6' },
  ...answer(1),
  { label: 'ip4' },
  ...STRAIGHT,
  ...packet(IP4.protocol, 1, ON_STACK + KEY.protocol),
  PROTOCOL,
  { code: OPCODE.jumpIfNot, dst: 2, imm: NUMBERS.icmp, to: 'other' },
  ...packet(IP4.destination, 4, ON_STACK + KEY.address),
  ...putFamily(4),
  jump('judge'),
  { label: 'ip6' },
  ...packet(IP6.next, 1, ON_STACK + KEY.protocol),
  PROTOCOL,
  { code: OPCODE.jumpIfNot, dst: 2, imm: ICMP6, to: 'other' },
  ...packet(IP6.destination, 16, ON_STACK + KEY.address),
  ...putFamily(6),
  { code: OPCODE.storeImm8, dst: FRAME, off: ON_STACK + KEY.protocol, imm: NUMBERS.icmp },
  jump('judge'),
  { label: 'other' },
  { code: OPCODE.jumpIf, dst: 2, imm: NUMBERS.tcp, to: 'judged' },
  { code: OPCODE.jumpIf, dst: 2, imm: NUMBERS.udp, to: 'judged' },
  { label: 'unknown' },
  jump('refuse'),
  { label: 'judged' },
  ...answer(1),
  { label: 'judge' },
  ...judge(denies),
]

/** For sockets that are made. */
const socketProgram = (ping: boolean): Program => [
  BEGIN,
  context(2, SOCKET.type),
  context(3, SOCKET.protocol),
  { code: OPCODE.jumpIf, dst: 2, imm: STREAM, to: 'stream' },
  { code: OPCODE.jumpIf, dst: 2, imm: DGRAM, to: 'datagram' },
  jump('unknown'),
  { label: 'stream' },
  { code: OPCODE.jumpIf, dst: 3, imm: NUMBERS.tcp, to: 'known' },
  jump('unknown'),
  { label: 'datagram' },
  ...(ping ? [NUMBERS.udp, NUMBERS.icmp, ICMP6] : [NUMBERS.udp]).map(
    (imm): Instruction => ({ code: OPCODE.jumpIf, dst: 3, imm, to: 'known' }),
  ),
  { label: 'unknown' },
  counter(COUNTERS.socket),
  ...REFUSE,
  { label: 'known' },
  ...answer(1),
]

/** For binds; port 0 of UDP is a client's, which takes any. `denied`: the counter of the first range, each of which has its own; else all others are refused. */
const bindProgram = (ranges: readonly PortRange[], denied: number | undefined): Program => [
  BEGIN,
  context(2, ADDRESS.protocol),
  context(3, ADDRESS.port),
  { code: OPCODE.toBigEndian, dst: 3, imm: 16 },
  { code: OPCODE.jumpIfNot, dst: 2, imm: NUMBERS.udp, to: 'ranges' },
  { code: OPCODE.jumpIf, dst: 3, imm: 0, to: 'pass' },
  { label: 'ranges' },
  ...ranges.flatMap(({ first, last }, index): Program => {
    const next = `behind ${index}`
    return [
      { code: OPCODE.jumpIfBelow, dst: 3, imm: first, to: next },
      { code: OPCODE.jumpIfAbove, dst: 3, imm: last, to: next },
      ...(denied === undefined ? [jump('pass')] : refuse(denied + index)),
      { label: next },
    ]
  }),
  ...(denied === undefined ? [counter(COUNTERS.bind)] : [jump('pass')]),
  { label: 'refuse' },
  ...REFUSE,
  { label: 'pass' },
  ...answer(1),
]

export interface Attachment {
  /** BPF_PROG_TYPE_* */
  readonly type: number
  /** enum bpf_attach_type */
  readonly attach: number
  readonly program: Uint8Array
}

export const assembled = (type: number, attach: number, program: Program): Attachment => ({
  type,
  attach,
  program: assemble(program),
})

export interface Judged {
  /** Destinations are looked up, those found are refused (`deny`) or all others. */
  readonly destinations?: 'allow' | 'deny' | undefined
  /** Sockets for ping may be made; `judged`: and where they send to is looked up. */
  readonly ping: boolean | 'judged'
  /** Ports that can be bound; or, where `denied` is the first of their counters, that can't be. */
  readonly bind?: { readonly ranges: readonly PortRange[]; readonly denied: number | undefined } | undefined
  /** Ports of TCP that lead to the HTTP proxy. */
  readonly proxied?: readonly number[]
}

/** All programs that it takes. */
export const networkPrograms = ({ destinations, ping, bind, proxied = [] }: Judged): readonly Attachment[] => {
  const denies = destinations === 'deny'
  const address = (attach: number, program: Program) => assembled(PROGRAM.address, attach, program)
  const binds = bind && bindProgram(bind.ranges, bind.denied)
  return [
    assembled(PROGRAM.socket, ATTACH.socket, socketProgram(ping !== false)),
    ...(destinations
      ? [
          address(ATTACH.connect4, destinationProgram(4, denies, proxied)),
          address(ATTACH.connect6, destinationProgram(6, denies, proxied)),
          address(ATTACH.sendmsg4, destinationProgram(4, denies, proxied)),
          address(ATTACH.sendmsg6, destinationProgram(6, denies, proxied)),
          assembled(PROGRAM.skb, ATTACH.egress, ping === 'judged' ? pingProgram(denies) : routeProgram),
        ]
      : []),
    ...(binds ? [address(ATTACH.bind4, binds), address(ATTACH.bind6, binds)] : []),
  ]
}
