/** What is opened outside for mounts that the container's init could not make itself, and the user namespaces that ids are mapped by. */

import { BerthError } from '../errors.ts'
import type { IdMapping, Mount } from '../spec/types.ts'
import type { HostFacts } from './facts.ts'
import type { ParsedOptions } from './mount-options.ts'
import { lacksPrivilege, mapText, type Namespaces } from './namespaces.ts'
import { MOUNT_FLAGS, NO_SLOT, type Op, type Plan, SLOTS } from './ops.ts'

/** Slots from here on are for mounts. */
const FIRST_SLOT = 64

/** How a message names a mount: mounts[3]. */
export const where = (pointer: string): string => pointer.slice(1).replace(/\/(\d+)$/, '[$1]')

interface SourcesInput {
  readonly facts: HostFacts
  readonly namespaces: Namespaces
  /** linux.uidMappings and gidMappings: what a mount is mapped by that has no mapping of its own. */
  readonly uidMappings?: readonly IdMapping[] | undefined
  readonly gidMappings?: readonly IdMapping[] | undefined
  /** MS_* of the host's mounts as the container sees them. */
  readonly propagation: bigint
}

export class MountSources {
  readonly #input: SourcesInput
  readonly #open: Op[] = []
  readonly #maps = new Map<string, number>()
  #next = FIRST_SLOT

  constructor(input: SourcesInput) {
    this.#input = input
  }

  /** Before the clone. */
  get open(): Plan {
    return this.#open
  }

  /** After it: whoever stays must not hold a mount. */
  get close(): Plan {
    return this.#open.flatMap((op): Op[] =>
      op.op === 'map-ids' || op.op === 'mount-source'
        ? [{ op: 'close', slot: op.slot, pointer: op.pointer ?? '/mounts' }]
        : [],
    )
  }

  /** The slot of the user namespace that the mount's ids are mapped by. */
  userns(mount: Mount, options: ParsedOptions, pointer: string): number {
    const own = mount.uidMappings?.length ? mount : undefined
    if (!own && options.idmap === 'none') return NO_SLOT
    const { namespaces, uidMappings, gidMappings } = this.#input
    if (lacksPrivilege(this.#input.facts))
      throw new BerthError(
        'unsupported',
        `${where(pointer)}: mapping ids needs CAP_SYS_ADMIN, which the caller lacks`,
        {
          pointer,
        },
      )
    if (!own && namespaces.isJoined('user')) return namespaces.slot('user')
    const uidMap = mapText(own ? own.uidMappings : uidMappings)
    const gidMap = mapText(own ? own.gidMappings : gidMappings)
    if (uidMap === '' || gidMap === '')
      throw new BerthError(
        'invalid',
        `${where(pointer)}: idmap needs uidMappings and gidMappings, or a user namespace`,
        {
          pointer,
        },
      )
    const known = this.#maps.get(`${uidMap}/${gidMap}`)
    if (known !== undefined) return known
    const slot = this.#slot(pointer)
    this.#maps.set(`${uidMap}/${gidMap}`, slot)
    this.#open.push({ op: 'map-ids', uidMap, gidMap, slot, pointer })
    return slot
  }

  /** The slot of a bind's source, where that has to be opened outside: the container's root may be unable to reach it. */
  bind(path: string, options: ParsedOptions, userns: number, pointer: string): number {
    if (userns === NO_SLOT && !(this.#input.namespaces.has('user') && !lacksPrivilege(this.#input.facts)))
      return NO_SLOT
    const slot = this.#slot(pointer)
    const flags =
      (options.recursive ? MOUNT_FLAGS.recursive : 0) | (options.idmap === 'tree' ? MOUNT_FLAGS.idmapTree : 0)
    this.#open.push({ op: 'mount-source', path, propagation: this.#input.propagation, userns, flags, slot, pointer })
    return slot
  }

  #slot(pointer: string): number {
    if (this.#next >= SLOTS)
      throw new BerthError(
        'unsupported',
        `${where(pointer)}: more than ${SLOTS - FIRST_SLOT} mounts have to be opened for a user namespace`,
        {
          pointer,
        },
      )
    return this.#next++
  }
}
