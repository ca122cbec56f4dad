/** Ids of a user namespace and those that they are on the host. */

import type { IdMapping } from '../spec/types.ts'

/** The host's id for one of the container's; undefined where it has none. */
export const hostId = (id: number, mappings: readonly IdMapping[] | undefined): number | undefined => {
  if (mappings === undefined) return id
  const found = mappings.find(({ containerID, size }) => id >= containerID && id - containerID < size)
  return found && found.hostID + (id - found.containerID)
}
