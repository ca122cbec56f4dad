/** What an observer has seen (native/observer/observed.h). */

const KINDS = {
  r: 'read',
  l: 'list',
  c: 'device',
  w: 'write',
  x: 'execute',
  d: 'entry',
  m: 'made',
  n: 'connect',
  b: 'bind',
  a: 'abstract',
  t: 'timeout',
} as const

export type Seen = (typeof KINDS)[keyof typeof KINDS]

export interface Observation {
  readonly seen: Seen
  /** A path, or an address. */
  readonly what: string
}

/** Records that end in NUL; the last may be cut off. */
export const readObserved = (data: Uint8Array): readonly Observation[] =>
  new TextDecoder()
    .decode(data)
    .split('\0')
    .slice(0, -1)
    .flatMap((record) => {
      const seen = KINDS[record.charAt(0) as keyof typeof KINDS]
      return seen === undefined ? [] : [{ seen, what: record.slice(1) }]
    })

/** Whether a network of its own, where nobody else is, may be too little. Abstract sockets are a network's, too. */
export const usedNetwork = (observations: readonly Observation[]): boolean =>
  observations.some(
    ({ seen, what }) => ['connect', 'abstract'].includes(seen) || (seen === 'bind' && what !== 'udp://0'),
  )
