/** Kinds of BPF maps and how they are made, by the kernel's numbers (linux/bpf.h). */

export const MAP = { hash: 1, array: 2, lruHash: 9, lpmTrie: 11 } as const
/** BPF_F_NO_PREALLOC: entries take memory when they come to be. */
export const NO_PREALLOC = 1
