/** What a filter answers, without the kernel: to check a profile before it is in force, and for tests. */

import { BPF, INSTRUCTION } from './assemble.ts'
import { DATA } from './emit.ts'

/** struct seccomp_data */
export interface SeccompData {
  readonly nr: number
  readonly arch: number
  readonly ip?: bigint
  readonly args?: readonly bigint[]
}

const DATA_SIZE = 64

/** Runs the program (struct sock_filter[], little endian) and returns its value. Throws on what the kernel would not load. */
export function interpret(program: Uint8Array, data: SeccompData): number {
  const memory = new DataView(new ArrayBuffer(DATA_SIZE))
  memory.setUint32(DATA.nr, data.nr, true)
  memory.setUint32(DATA.arch, data.arch, true)
  memory.setBigUint64(8, data.ip ?? 0n, true)
  for (const [index, value] of (data.args ?? []).entries()) memory.setBigUint64(DATA.args + index * 8, value, true)

  const view = new DataView(program.buffer, program.byteOffset, program.byteLength)
  const end = program.byteLength / INSTRUCTION
  let a = 0
  for (let pc = 0; pc < end; pc++) {
    const at = pc * INSTRUCTION
    const k = view.getUint32(at + 4, true)
    const branch = (taken: boolean) => view.getUint8(at + (taken ? 2 : 3))
    const code = view.getUint16(at, true)
    switch (code) {
      case BPF.load:
        a = memory.getUint32(k, true)
        break
      case BPF.and:
        a = (a & k) >>> 0
        break
      case BPF.ja:
        pc += k
        break
      case BPF.jeq:
        pc += branch(a === k)
        break
      case BPF.jgt:
        pc += branch(a > k)
        break
      case BPF.jge:
        pc += branch(a >= k)
        break
      case BPF.jset:
        pc += branch((a & k) !== 0)
        break
      case BPF.ret:
        return k
      default:
        throw new RangeError(`instruction ${pc}: unknown code 0x${code.toString(16)}`)
    }
  }
  throw new RangeError('the program runs off its end')
}
