import { BerthError } from '../errors.ts'

/** The id is the name of a directory and of a cgroup: NAME_MAX. */
const MAX_LENGTH = 255

/**
 * Checks the id of a container or an exec (S14). No slash, and no dot in front, so an id is never a path, nor one of the runtime's own
 * directories beside the containers' (`.controller`); no hyphen in front, so it is never taken for an option.
 */
export const checkId = (id: string, whose: 'container' | 'exec' = 'container'): string => {
  if (id === '') throw new BerthError('invalid', `${whose} id is empty`)
  if (id.length > MAX_LENGTH) {
    throw new BerthError(
      'invalid',
      `${whose} id ${JSON.stringify(`${id.slice(0, 32)}…`)} is longer than ${MAX_LENGTH} characters`,
    )
  }
  if (!/^[A-Za-z0-9_+][A-Za-z0-9_+.-]*$/.test(id)) {
    throw new BerthError(
      'invalid',
      `${whose} id ${JSON.stringify(id)} is invalid: only letters, digits and _ + . - are allowed, and neither . nor - in front`,
    )
  }
  return id
}
