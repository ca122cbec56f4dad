/** Ways to call the kernel that the attackers doors.c and senders.c try, in the order in which they tell of them, and what they say. */
import { execFileSync } from 'node:child_process'
import { attack } from './attack.ts'

const x64 = process.arch === 'x64'
const ELSEWHERE = ['thread', 'fork', 'exec']
const RUNS = ['x32', ...ELSEWHERE]

/** The doors of doors.c, by what is tried. */
export const DOORS = {
  open: ['openat', 'openat2', 'io_uring', ...(x64 ? ['open', 'int80', ...RUNS] : ELSEWHERE)],
  execute: ['execve', 'execveat', 'descriptor', ...(x64 ? ['int80', ...RUNS] : ELSEWHERE)],
  abstract: [
    ...['connect', 'datagram', 'sendto', 'sendmsg', 'sendmmsg', 'io_uring'],
    ...(x64 ? ['int80', 'socketcall', ...RUNS] : ELSEWHERE),
  ],
  signal: ['kill', 'tkill', 'tgkill', 'sigqueue', 'pidfd', ...(x64 ? ['int80', ...RUNS] : ELSEWHERE)],
  mkdir: ['mkdirat', 'io_uring', ...(x64 ? ['mkdir', 'int80', 'int80-at', ...RUNS] : ELSEWHERE)],
  chmod: ['fchmodat', 'above', ...(x64 ? ['int80', ...RUNS] : ELSEWHERE)],
} as const satisfies Record<string, readonly string[]>

/** Those of `senders to`: to IPv4 only, and by datagrams. */
export const IP4_ONLY = ['mapped', 'mapped-sendto', 'other-family']
export const DATAGRAMS = [
  'udp-connect',
  'sendto',
  'sendmsg',
  'sendmmsg',
  'mapped-sendto',
  'other-family',
  'int80-sendto',
]
export const SEND_DOORS = [
  ...['connect', 'fastopen', 'udp-connect', 'sendto', 'sendmsg', 'sendmmsg', 'io_uring', ...IP4_ONLY],
  ...(x64 ? ['int80', 'int80-sendto', 'socketcall', ...RUNS] : ELSEWHERE),
]
/** Those of `senders bind`: kinds of sockets, then other ways to bind one of TCP. */
export const BIND_DOORS = [
  'tcp4',
  'udp4',
  'tcp6',
  'udp6',
  'mapped',
  ...(x64 ? ['int80', 'socketcall', ...RUNS] : ELSEWHERE),
]

let kernelHasX32: boolean | undefined
const hasX32 = (): boolean => {
  kernelHasX32 ??= execFileSync(attack('doors'), ['read', '/dev/null'], { encoding: 'utf8' }).includes('x32 open')
  return kernelHasX32
}

/** An attacker's lines. A kernel without x32 has nothing behind that door, whatever a filter before it says of other calls. */
export const lines = (doors: readonly string[], outcome: string | ((door: string) => string)): string =>
  doors
    .map((door) => [door, typeof outcome === 'string' ? outcome : outcome(door)] as const)
    .map(([door, word]) => `${door} ${door === 'x32' && !hasX32() ? 'ENOSYS' : word}\n`)
    .join('')
