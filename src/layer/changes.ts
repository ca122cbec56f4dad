/** What a command has changed in its layer, for people; and how to do the same to the host. */

import { ByteReader } from '../plan/bytes.ts'
import { LAYER, type Plan } from '../plan/ops.ts'
import type { Overlay } from './layer.ts'

export type Kind = keyof typeof LAYER

/** One path of an overlay. */
export interface Change {
  readonly kind: Kind
  readonly mode: number
  readonly inode: bigint
  readonly links: number
  /** Below the overlay's top. */
  readonly path: string
}

const KINDS = new Map(Object.entries(LAYER).map(([kind, code]) => [code as number, kind as Kind]))
const S_IFMT = 0o170000
const S_IFDIR = 0o040000

/** The result of `layer-scan`. */
export const readChanges = (data: Uint8Array): readonly Change[] => {
  const reader = new ByteReader(data)
  const changes: Change[] = []
  while (reader.left > 0) {
    const kind = KINDS.get(reader.u8()) ?? 'covered'
    changes.push({ kind, mode: reader.u32(), inode: reader.u64(), links: reader.u32(), path: reader.str() })
  }
  return changes
}

const isDirectory = ({ mode }: Change): boolean => (mode & S_IFMT) === S_IFDIR

/** Where a path of an overlay is on the host. */
export const hostPath = ({ lower }: Overlay, path: string): string =>
  path === '' ? lower : lower === '/' ? `/${path}` : `${lower}/${path}`

const LETTERS: Readonly<Partial<Record<Kind, string>>> = { add: 'A', change: 'M', remove: 'D', gone: 'D' }

/** `A /path`, `M /path`, `D /path`, sorted by path; directories are left out. */
export const changeLines = (overlay: Overlay, changes: readonly Change[]): readonly (readonly [string, string])[] =>
  changes.flatMap((change) => {
    const letter = LETTERS[change.kind]
    return letter === undefined || isDirectory(change) ? [] : [[letter, hostPath(overlay, change.path)] as const]
  })

/** A step on the way, with the path that it is told by. */
export interface Applied {
  readonly what: string
  readonly op: Plan[number]
}

const byPath = (a: Change, b: Change): number => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)

/**
 * The same changes on the host: what is removed first, then directories from the top down, files, further names of files; at last what directories
 * are, from below, as each of the others changed the times of the directory that it is in. All of it may be done again.
 */
export const applyChanges = (overlay: Overlay, changes: readonly Change[]): readonly Applied[] => {
  const { lower: root, upper } = overlay
  const of = (...kinds: Kind[]) => changes.filter(({ kind }) => kinds.includes(kind)).toSorted(byPath)
  const what = (letter: string, path: string) => `${letter} ${hostPath(overlay, path)}`
  const files = of('add', 'change')
  const first = new Map<bigint, string>()
  for (const { inode, links, path } of files) if (links > 1 && !first.has(inode)) first.set(inode, path)
  const linked = (change: Change) => change.links > 1 && first.get(change.inode) !== change.path
  const directories = of('directory', 'newDirectory')
  return [
    ...of('remove').map(({ path }): Applied => ({ what: what('D', path), op: { op: 'layer-remove', root, path } })),
    ...of('newDirectory').map(
      ({ path }): Applied => ({ what: what('A', `${path}/`), op: { op: 'layer-place', upper, root, path } }),
    ),
    ...files
      .filter((change) => !linked(change))
      .map(
        ({ kind, path }): Applied => ({
          what: what(LETTERS[kind] ?? '', path),
          op: { op: 'layer-place', upper, root, path },
        }),
      ),
    ...files.filter(linked).map(
      ({ kind, path, inode }): Applied => ({
        what: what(LETTERS[kind] ?? '', path),
        op: { op: 'layer-link', root, path: first.get(inode) ?? '', to: path },
      }),
    ),
    ...[...directories.toReversed(), ...(changes.length > 0 ? [{ path: '' }] : [])].map(
      ({ path }): Applied => ({ what: what('M', path), op: { op: 'layer-attributes', upper, root, path } }),
    ),
  ]
}
