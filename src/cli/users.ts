/** Names of users, from the text of the host's /etc/passwd. */

import { readOp } from '../container/inspect.ts'
import type { Op } from '../plan/ops.ts'
import { OP_FLAGS } from '../plan/ops.ts'

export const PASSWD: Op = readOp('/etc/passwd', 16 << 20, OP_FLAGS.tolerate)

/** The name of a uid, or its number where there is none. */
export const userNames = (passwd: string | undefined): ((uid: number) => string) => {
  const names = new Map<string, string>()
  for (const line of (passwd ?? '').split('\n')) {
    const [name, , uid] = line.split(':')
    if (name && uid && !names.has(uid)) names.set(uid, name)
  }
  return (uid) => names.get(String(uid)) ?? String(uid)
}
