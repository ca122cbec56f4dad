/** Assembler for eBPF: instructions with jumps to labels → struct bpf_insn[]. */

/** linux/bpf.h, linux/bpf_common.h: class, operation and source of an instruction in one byte. */
export const OPCODE = {
  load8: 0x71, // dst = *(u8 *)(src + off)
  load32: 0x61,
  load64: 0x79,
  store8: 0x73, // *(u8 *)(dst + off) = src
  store16: 0x6b,
  store32: 0x63,
  store64: 0x7b,
  storeImm8: 0x72, // *(u8 *)(dst + off) = imm
  storeImm16: 0x6a,
  storeImm32: 0x62,
  atomicAdd64: 0xdb, // *(u64 *)(dst + off) += src
  loadMap: 0x18, // two instructions long; src is BPF_PSEUDO_MAP_FD
  move64: 0xb7, // dst = imm
  move64From: 0xbf, // dst = src
  move32From: 0xbc,
  add64: 0x07,
  and32: 0x54,
  or32: 0x44,
  shiftRight64: 0x77,
  toBigEndian: 0xdc, // of imm bits
  jump: 0x05,
  jumpIf: 0x15, // == imm, 64 bits
  jumpIfNot: 0x55,
  jumpIfNot32: 0x56,
  jumpIfNotFrom: 0x5d, // != src
  jumpIfSet32: 0x46, // & imm
  jumpIfAbove: 0x25,
  jumpIfBelow: 0xa5,
  call: 0x85,
  exit: 0x95,
} as const

/** Where the stack ends: it is below. */
export const FRAME = 10
const PSEUDO_MAP_FD = 1

export interface Instruction {
  readonly code: number
  readonly dst?: number
  readonly src?: number
  readonly off?: number
  readonly imm?: number
  /** A jump's target, instead of `off`. */
  readonly to?: string
}

/** A place in the program that jumps lead to. */
export interface Label {
  readonly label: string
}

/** The address of a map, given by its number among those that are loaded with the program: the loader puts its descriptor in. */
export const loadMap = (dst: number, map: number): readonly Instruction[] => [
  { code: OPCODE.loadMap, dst, src: PSEUDO_MAP_FD, imm: map },
  { code: 0 },
]

const isLabel = (item: Instruction | Label): item is Label => 'label' in item

/** struct bpf_insn[] */
export const assemble = (items: readonly (Instruction | Label)[]): Uint8Array => {
  const labels = new Map<string, number>()
  const program: Instruction[] = []
  for (const item of items) {
    if (isLabel(item)) labels.set(item.label, program.length)
    else program.push(item)
  }
  const distance = (to: string, from: number): number => {
    const target = labels.get(to)
    if (target === undefined) throw new Error(`no label ${to}`)
    return target - from - 1
  }
  const bytes = new Uint8Array(program.length * 8)
  const view = new DataView(bytes.buffer)
  for (const [index, { code, dst = 0, src = 0, off = 0, imm = 0, to }] of program.entries()) {
    view.setUint8(index * 8, code)
    view.setUint8(index * 8 + 1, (src << 4) | dst)
    view.setInt16(index * 8 + 2, to === undefined ? off : distance(to, index), true)
    view.setInt32(index * 8 + 4, imm | 0, true)
  }
  return bytes
}
