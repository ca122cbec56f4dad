/** What the worker that looks names up is told. Numbers of descriptors are counted from the first that it was given. */

import type { Addresses } from '../../network.ts'

export interface NamesConfig {
  readonly names: readonly string[]
  readonly resolvConf: number
  readonly hosts: number
  /** Goes on with it, as long as the container is there. */
  readonly refresh?: Refresh
}

export interface Refresh {
  readonly seconds: number
  /** The allow lists of the policies whose tries are changed, in the order of `bpf-apply`. */
  readonly allow: readonly (readonly string[])[]
  /** What the tries are made of now. */
  readonly addresses: Addresses
  /** Who changes them. */
  readonly channel: number
  /** A file for what they are made of since. */
  readonly shown: number
}
