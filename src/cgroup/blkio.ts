/** Figures of block I/O as cgroup v1 counts them. */

import type { Figures } from './figures.ts'

/** A file of a scheduler, and the one of the throttling layer that counts the same where the scheduler does not. */
export const BLKIO = {
  ioServiceBytesRecursive: ['blkio.io_service_bytes_recursive', 'blkio.throttle.io_service_bytes_recursive'],
  ioServicedRecursive: ['blkio.io_serviced_recursive', 'blkio.throttle.io_serviced_recursive'],
  ioQueuedRecursive: ['blkio.io_queued_recursive'],
  ioServiceTimeRecursive: ['blkio.io_service_time_recursive'],
  ioWaitTimeRecursive: ['blkio.io_wait_time_recursive'],
  ioMergedRecursive: ['blkio.io_merged_recursive'],
  ioTimeRecursive: ['blkio.time_recursive'],
  sectorsRecursive: ['blkio.sectors_recursive'],
} as const

export interface BlkioEntry {
  readonly major: bigint
  readonly minor: bigint
  readonly op: string
  readonly value: bigint
}

/** Of the first file that counts anything. */
export const blkioEntries = (file: Figures, field: keyof typeof BLKIO): readonly BlkioEntry[] =>
  BLKIO[field]
    .map(file)
    .map(parse)
    .find((entries) => entries.length > 0) ?? []

/** Lines `major:minor operation number`, or without the operation; the line of the sum has no device. */
const parse = (text: string | undefined): BlkioEntry[] =>
  (text ?? '').split('\n').flatMap((line) => {
    const match = /^(\d+):(\d+) (?:([A-Za-z]+) )?(\d+)$/.exec(line)
    if (match === null) return []
    const [, major = '', minor = '', op = '', value = ''] = match
    return [{ major: BigInt(major), minor: BigInt(minor), op, value: BigInt(value) }]
  })
