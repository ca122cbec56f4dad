/** Credentials that are less of a secret than their policy may have it: what `create` and `policy check` warn of. */

import { posix } from 'node:path'
import { isWithin } from '../layer/mounts.ts'
import type { Spec } from '../spec/types.ts'
import { parseSource } from './http.ts'
import { httpPolicies, intercepts } from './http-policy.ts'
import { enforceable } from './protections.ts'
import { type Confinement, FILE_KINDS, hasFileLists, type Policy } from './types.ts'

/** Who is kept from the secrets. */
export interface Reader {
  /** In words. */
  readonly who: string
  /** Where it has a file of the host's, if anywhere. */
  readonly find: (file: string) => readonly string[]
}

/** What runs on the host's own root. */
export const hostReader = (who: string): Reader => ({ who, find: (file) => [file] })

/** A bundle's container, by its root and what is bound into that. */
export const bundleReader = ({ root, mounts = [] }: Spec, bundle: string): Reader => ({
  who: 'the container',
  find: (file) =>
    [
      ...(root === undefined ? [] : [{ source: root.path, destination: '/' }]),
      ...mounts.flatMap(({ type, source, destination, options = [] }) =>
        source !== undefined && (type === 'bind' || options.includes('bind') || options.includes('rbind'))
          ? [{ source, destination: posix.resolve('/', destination) }]
          : [],
      ),
    ].flatMap(({ source, destination }) => {
      const shown = posix.resolve(bundle, source)
      return isWithin(file, shown) ? [posix.join(destination, posix.relative(shown, file))] : []
    }),
})

const lets = (policy: Policy, path: string, landlock: number): boolean => {
  const named = (list: readonly string[] = []) => list.some((directory) => isWithin(path, directory))
  if (named(policy.files?.deny)) return false
  return (
    !hasFileLists(policy) || !enforceable('files', landlock) || FILE_KINDS.some((kind) => named(policy.files?.[kind]))
  )
}

export const credentialGaps = ({ policies, landlock }: Confinement, { who, find }: Reader): readonly string[] => {
  const sources = httpPolicies(policies).flatMap(({ http, from = '' }) =>
    (http.credentials ?? []).map((credential) => ({ source: parseSource(credential.from), from })),
  )
  const readable = (file: string) =>
    find(posix.normalize(file)).some((path) => policies.every((policy) => lets(policy, path, landlock)))
  return [
    ...new Set([
      ...sources.flatMap(({ source, from }) =>
        source.kind === 'file' && readable(source.path)
          ? [
              `policy: http.credentials: ${who} can read file:${source.path} itself: name it in files.deny, or leave it out of the lists of files (${from})`,
            ]
          : [],
      ),
      ...(intercepts(policies)
        ? []
        : sources.map(
            ({ from }) =>
              `policy: http.credentials: without intercept or ca they are attached to plain HTTP, where anybody on the way can read them, and to nothing that goes by TLS (${from})`,
          )),
    ]),
  ]
}
