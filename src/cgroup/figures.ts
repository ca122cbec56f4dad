/** Readers for the forms in which cgroup files give their figures. */

export const UNLIMITED = 0xffffffffffffffffn

/** A file that holds one number; "max" is the largest there is, and what is missing or no number is 0. */
export const single = (text: string | undefined): bigint => {
  const word = text?.trim() ?? ''
  if (word === 'max') return UNLIMITED
  return /^\d+$/.test(word) ? BigInt(word) : 0n
}

/** A file of lines `name number`. */
export const pairs = (text: string | undefined): Map<string, bigint> => {
  const found = new Map<string, bigint>()
  for (const line of text?.split('\n') ?? []) {
    const [name, value] = line.split(' ')
    if (name && value !== undefined) found.set(name, single(value))
  }
  return found
}

/** A file of numbers that blanks separate. */
export const numbers = (text: string | undefined): bigint[] =>
  (text?.trim() ?? '')
    .split(/\s+/)
    .filter((word) => /^\d+$/.test(word))
    .map(BigInt)

/** Text of a file by its name; undefined where it is not there. */
export type Figures = (name: string) => string | undefined

/** A file to read, and the controller it belongs to. */
export type FigureFile = readonly [controller: string, file: string]

/** Sizes of huge pages that x86-64 and arm64 have by default, as cgroup files spell them. */
export const HUGE_PAGES = ['64KB', '2MB', '32MB', '1GB']

/** cpuacct.stat counts in USER_HZ, which is 100 on every architecture that berth runs on. */
export const TICK_NS = 10_000_000n
