/** Times and 64-bit numbers in messages. */

import type { google } from './proto/messages.gen.js'

const SECOND = 1_000_000_000n
const LOW = 0xffffffffn

/** What protobufjs takes for a 64-bit field: a Long, or anything with its three properties. */
export const long = (value: bigint): never =>
  ({ low: Number(value & LOW) | 0, high: Number((value >> 32n) & LOW) | 0, unsigned: value >= 0n }) as never

/** Nanoseconds since the epoch as a Timestamp. */
export const timestamp = (nanoseconds: bigint): google.protobuf.Timestamp.$Properties => ({
  seconds: long(nanoseconds / SECOND),
  nanos: Number(nanoseconds % SECOND),
})

/** The time that has not come: the zero value of Go's, which clients compare with. */
const NEVER = -62_135_596_800n * SECOND

/** The `exitedAt` property of a message. */
export const exitedAt = (exit: { readonly time: string } | undefined) => ({
  exitedAt: timestamp(exit === undefined ? NEVER : BigInt(exit.time)),
})
