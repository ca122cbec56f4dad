/**
 * Assembler for classic BPF. A program is built from its end to its start: jumps go forward only, so every target is there
 * already when a jump to it is made, and its distance is known for good.
 */

/** Instructions a seccomp filter needs (linux/bpf_common.h). */
export const BPF = {
  load: 0x20, // BPF_LD | BPF_W | BPF_ABS
  and: 0x54, // BPF_ALU | BPF_AND | BPF_K
  ja: 0x05,
  jeq: 0x15,
  jgt: 0x25,
  jge: 0x35,
  jset: 0x45,
  ret: 0x06,
} as const

/** Size of a struct sock_filter: u16 code, u8 jt, u8 jf, u32 k. */
export const INSTRUCTION = 8
/** BPF_MAXINSNS */
export const MAX_INSTRUCTIONS = 4096

const MAX_OFFSET = 255

/** An instruction, by its distance from the program's end (the last is 1). */
export type Label = number

type Test = typeof BPF.jeq | typeof BPF.jgt | typeof BPF.jge | typeof BPF.jset

export class Assembler {
  /** Last instruction first. */
  readonly #code: { readonly code: number; readonly jt: number; readonly jf: number; readonly k: number }[] = []
  /** Where the latest (nearest) copy of a return, and of a long jump to a label, is. */
  readonly #returns = new Map<number, Label>()
  readonly #hops = new Map<Label, Label>()

  get length(): number {
    return this.#code.length
  }

  #put(code: number, k: number, jt = 0, jf = 0): Label {
    this.#code.push({ code, jt, jf, k: k >>> 0 })
    return this.#code.length
  }

  /** Instructions that a jump made now would skip to get to the label. */
  #offset(to: Label): number {
    return this.#code.length - to
  }

  ret(value: number): Label {
    const known = this.#returns.get(value)
    if (known !== undefined && this.#offset(known) <= MAX_OFFSET) return known
    const label = this.#put(BPF.ret, value)
    this.#returns.set(value, label)
    return label
  }

  /** Makes what follows the next instruction the label. */
  #fallInto(to: Label): void {
    if (this.#offset(to) > 0) this.#put(BPF.ja, this.#offset(to))
  }

  /** A label from which `to` is reached, near enough for a conditional jump with `room` more instructions to come before it. */
  #near(to: Label, room: number): Label {
    if (this.#offset(to) + room <= MAX_OFFSET) return to
    const instruction = this.#code[to - 1]
    const hop = this.#hops.get(to)
    if (hop !== undefined && this.#offset(hop) + room <= MAX_OFFSET) return hop
    const label =
      instruction?.code === BPF.ret ? this.#put(BPF.ret, instruction.k) : this.#put(BPF.ja, this.#offset(to))
    this.#hops.set(to, label)
    return label
  }

  /** Compares the accumulator. */
  test(test: Test, k: number, yes: Label, no: Label): Label {
    if (yes === no) return yes
    // The second may put one hop more between the jump and the first target.
    const near = this.#near(yes, 1)
    const other = this.#near(no, 0)
    return this.#put(test, k, this.#offset(near), this.#offset(other))
  }

  /** Loads a word of struct seccomp_data, masked where `mask` leaves bits out, and goes on at the label. */
  load(offset: number, mask: number, next: Label): Label {
    this.#fallInto(next)
    if (mask >>> 0 !== 0xffffffff) this.#put(BPF.and, mask)
    return this.#put(BPF.load, offset)
  }

  /** The program: struct sock_filter[], little endian. */
  program(): Uint8Array {
    const bytes = new Uint8Array(this.#code.length * INSTRUCTION)
    const view = new DataView(bytes.buffer)
    let at = 0
    for (const { code, jt, jf, k } of this.#code.toReversed()) {
      view.setUint16(at, code, true)
      view.setUint8(at + 2, jt)
      view.setUint8(at + 3, jf)
      view.setUint32(at + 4, k, true)
      at += INSTRUCTION
    }
    return bytes
  }
}
