/** CRIU itself, a program of the host: found by a path that somebody answers for, never by its name. */

import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { ACCESS, type Op } from '../plan/ops.ts'
import { DEFAULT_PATH } from '../plan/path.ts'
import type { NodeFile } from '../policy/source.ts'

export const CRIU_PLACES = ['/usr/sbin/criu', '/usr/local/sbin/criu', '/usr/bin/criu'] as const

/** What it runs itself (tar, ip, nft) it looks for there. */
export const CRIU_ENV = [`PATH=${DEFAULT_PATH}`] as const

const execute = (path: string): Op => ({ op: 'access', path, mode: ACCESS.execute })

const GET = `install CRIU (Debian's package criu), or name it with --criu or as "criu" in the node's own file`

/** The one that the caller names, else the node's own file, else that of the usual places which is there first. */
export const findCriu = async (step: RunStep, named: string | undefined, node: NodeFile): Promise<string> => {
  const fromNode = node.bytes === undefined ? undefined : await ofNode(node.bytes, node.path)
  const wish = named ?? fromNode
  const places = wish === undefined ? CRIU_PLACES : [wish]
  const results = await step('criu', places.map(execute))
  const found = places.find((_, index) => results.u32(index) === 0)
  if (found !== undefined) return found
  const where =
    wish === undefined
      ? `none of ${CRIU_PLACES.join(', ')} can be executed`
      : `"${wish}", which ${named === undefined ? node.path : 'the caller'} names, can not be executed`
  throw new BerthError('unsupported', `checkpoints are made by CRIU, and ${where}: ${GET}`, { subject: 'criu' })
}

const ofNode = async (bytes: Uint8Array, path: string): Promise<string | undefined> => {
  const { loadNode } = await import('../policy/document.ts')
  return loadNode(bytes, path).criu
}
