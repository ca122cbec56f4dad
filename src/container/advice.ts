/** What to do where a user without privilege could not make a namespace, or map ids. */

import { ERRNO } from '../controller/errno.ts'
import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { OP_FLAGS, READ_FLAGS } from '../plan/ops.ts'
import { USERNS_SYSCTLS, usernsRefusal } from '../plan/rootless.ts'

const NO_NAMESPACE: readonly (number | undefined)[] = [ERRNO.EPERM, ERRNO.ENOSPC, ERRNO.EACCES]

/** The error with the way out, where we know one. */
export const advise = async (step: RunStep, error: unknown): Promise<unknown> => {
  if (!(error instanceof BerthError) || error.op !== 'clone') return error
  const { subject = '', errno } = error
  const mapper = /\/new([ug])idmap$/.exec(subject)
  if (mapper)
    return mapper[1] === undefined
      ? error
      : explained(error, `/linux/${mapper[1]}idMappings`, mappingAdvice(mapper[1], errno))
  if (!NO_NAMESPACE.includes(errno)) return error
  const results = await step(
    'sysctls',
    USERNS_SYSCTLS.map((name) => ({
      op: 'read',
      path: `/proc/sys/${name}`,
      max: 64,
      flags: READ_FLAGS.missingOk,
      opFlags: OP_FLAGS.tolerate,
    })),
  )
  const why = usernsRefusal(USERNS_SYSCTLS.map((_, index) => results.text(index)))
  return why === undefined ? error : explained(error, '/linux/namespaces', `a user namespace is needed, and ${why}`)
}

const mappingAdvice = (kind: string, errno: number | undefined): string =>
  errno === ERRNO.ENOENT
    ? `to map more than the own id takes newuidmap and newgidmap (Debian's package uidmap)`
    : `a user maps the own id and what /etc/sub${kind}id gives: lines of USER:FIRST:COUNT, made by usermod --add-sub${kind}ids`

const explained = ({ kind, message, op, syscall, subject, errno }: BerthError, pointer: string, advice: string) =>
  new BerthError(kind, `${message}: ${advice}`, {
    pointer,
    ...(op === undefined ? {} : { op }),
    ...(syscall === undefined ? {} : { syscall }),
    ...(subject === undefined ? {} : { subject }),
    ...(errno === undefined ? {} : { errno }),
  })
