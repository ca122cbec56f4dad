import { BerthError } from '../errors.ts'

/**
 * Parses `UID[:GID]` of `exec --user` (S13): decimal digits and nothing else, because a misread number is another user. 2^32-1 is refused:
 * the kernel takes it for "leave as it is".
 */
export const parseUser = (text: string): { readonly uid: number; readonly gid?: number } => {
  const match = /^(0|[1-9][0-9]{0,9})(?::(0|[1-9][0-9]{0,9}))?$/.exec(text)
  const uid = Number(match?.[1])
  const gid = match?.[2] === undefined ? undefined : Number(match[2])
  if (!match || uid >= 0xffff_ffff || (gid !== undefined && gid >= 0xffff_ffff)) {
    throw new BerthError(
      'invalid',
      `user ${JSON.stringify(text)} is invalid: expected UID[:GID] in decimal, each below 4294967295`,
    )
  }
  return gid === undefined ? { uid } : { uid, gid }
}
