/** Whose home directory it is that a run could have taken more of than it used. */

import { posix } from 'node:path'
import { readOp } from '../container/inspect.ts'
import type { RunStep } from '../controller/types.ts'
import { OP_FLAGS, READ_FLAGS } from '../plan/ops.ts'
import { variable } from '../plan/process.ts'
import type { Spec } from '../spec/types.ts'

const S_IFMT = 0o170000
const S_IFREG = 0o100000
const MAX_PASSWD = 16 << 20
/** The fields of passwd(5), counted from 0. */
const UID = 2
const HOME = 5

/** By the text of an /etc/passwd; '' where the user has no entry. */
export const homeIn = (passwd: string, uid: number): string =>
  passwd
    .split('\n')
    .map((line) => line.split(':'))
    .find((fields) => fields[UID] === String(uid) && fields[HOME])?.[HOME] ?? ''

/** Of who a bundle's container runs as: the one that its program is told (native/init/home.h). */
export const homeOfContainer = async (step: RunStep, { process }: Spec, rootfs: string): Promise<string> => {
  if (process === undefined) return ''
  const told = variable(process, 'HOME')
  if (told) return told
  const file = posix.join(rootfs, 'etc/passwd')
  // The image decides what that is: a FIFO would have no end.
  const looked = await step('home', [
    { op: 'stat', path: file, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate },
  ])
  if (looked.bytes(0) === undefined || (looked.u32(0) & S_IFMT) !== S_IFREG) return ''
  const passwd = (await step('passwd', [readOp(file, MAX_PASSWD, OP_FLAGS.tolerate)])).text(0) ?? ''
  return homeIn(passwd, process.user?.uid ?? 0)
}
