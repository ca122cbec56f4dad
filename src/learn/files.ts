/** From what was done with files to the shortest lists that let it be done again. */

import { posix } from 'node:path'
import { isBelow, isWithin } from '../layer/mounts.ts'
import type { Observation } from './observed.ts'

const LISTS = ['execute', 'read', 'write'] as const
type ListName = (typeof LISTS)[number]
export type Lists = Readonly<Record<ListName, readonly string[]>>

export interface Options {
  /** Of who runs it, absolute; '' where that is not known. */
  readonly home: string
  /** So many of a directory stand for all of it; 0: none do. */
  readonly collapse: number
  /** What lies below one of these stands for all of it. */
  readonly prefixes: readonly string[]
  /** Directories that would not be given as a whole are. */
  readonly force: boolean
}

export interface Learned {
  readonly lists: Lists
  /** Directories of the kind that one looks at twice. */
  readonly guarded: readonly string[]
  /** Directories that were needed, and are in no list. */
  readonly refused: readonly string[]
}

const SECRETS = ['.ssh', '.aws', '.kube', '.gnupg']
const GUARDED = ['/etc', '/proc', '/sys', '/dev', '/boot', '/run/secrets']

/** By custom these are; others' are as much a secret as one's own. */
const ROOT_HOME = '/root'
const HOMES = '/home'
const isHome = (path: string, home: string): boolean =>
  path === ROOT_HOME || path === home || posix.dirname(path) === HOMES

/** Never given as a whole by itself, `/` by nothing: directories with keys, root's home, and what home directories are in. */
const isProtected = (path: string, home: string): boolean =>
  ['/', ROOT_HOME, HOMES].includes(path) ||
  (home !== '' && isBelow(home, path)) ||
  (SECRETS.includes(posix.basename(path)) && isHome(posix.dirname(path), home))

/** Given, with a warning: what there is in it, and what it is in. What is protected, too, where that was wanted. */
const isGuarded = (path: string, home: string): boolean =>
  GUARDED.some((directory) => isWithin(directory, path)) || isHome(path, home) || isProtected(path, home)

/** Files of procfs are processes', which are others the next time. Terminals too. */
const lasting = (path: string): string => {
  if (/^\/proc\/(self|thread-self|\d+)(\/|$)/.test(path)) return '/proc'
  return /^\/dev\/pts\//.test(path) ? '/dev/pts' : path
}

/** Devices that have nothing but bytes: for all others an ioctl is what they are opened for, which is a right of writers. */
const PLAIN_DEVICES = new Set(['null', 'zero', 'full', 'random', 'urandom'].map((name) => `/dev/${name}`))

/** Files and directories as they were needed, one by one. */
const needed = (observations: readonly Observation[]): Readonly<Record<ListName, Set<string>>> => {
  const made = new Set(observations.flatMap(({ seen, what }) => (seen === 'made' ? [what] : [])))
  /** What was there before: what the run has made goes with the directory that it was made in. */
  const before = (path: string): string => {
    let at = path
    for (let up = path; up !== '/'; up = posix.dirname(up)) if (made.has(up)) at = posix.dirname(up)
    return at
  }
  const lists = { execute: new Set<string>(), read: new Set<string>(), write: new Set<string>() }
  for (const { seen, what } of observations) {
    if (!what.startsWith('/')) continue
    const path = lasting(what)
    const old = before(path)
    if (seen === 'execute') lists.execute.add(old)
    else if (old !== path) continue
    else if (seen === 'read' || seen === 'list') lists.read.add(path)
    else if (seen === 'device') (PLAIN_DEVICES.has(path) ? lists.read : lists.write).add(path)
    else if (seen === 'write' || seen === 'entry') lists.write.add(path)
  }
  return lists
}

/** The directories that stand for what is in them; none that is protected. */
const collapsed = (paths: ReadonlySet<string>, { prefixes, collapse, force, home }: Options): Set<string> => {
  const may = (directory: string) => directory !== '/' && (force || !isProtected(directory, home))
  const byPrefix = new Set(
    [...paths].map((path) => prefixes.find((prefix) => isBelow(path, prefix) && may(prefix)) ?? path),
  )
  if (collapse === 0) return byPrefix
  const siblings = Map.groupBy(byPrefix, (path) => posix.dirname(path))
  return new Set(
    [...siblings].flatMap(([directory, group]) => (group.length >= collapse && may(directory) ? [directory] : group)),
  )
}

const without = (paths: Iterable<string>, ...covering: readonly Iterable<string>[]): string[] => {
  const own = [...paths]
  const others = covering.flatMap((list) => [...list])
  return own
    .filter((path) => !own.some((other) => isBelow(path, other)) && !others.some((other) => isWithin(path, other)))
    .sort()
}

/** Lists without what others of them cover: who may write or execute may read. */
export const pruned = ({ execute, read, write }: Record<ListName, Iterable<string>>): Lists => ({
  execute: without(execute),
  write: without(write),
  read: without(read, execute, write),
})

export const learnFiles = (observations: readonly Observation[], options: Options): Learned => {
  const { home, force } = options
  const one = needed(observations)
  const lists = {
    execute: collapsed(one.execute, options),
    read: collapsed(one.read, options),
    write: collapsed(one.write, options),
  }
  const all = new Set(LISTS.flatMap((name) => [...lists[name]]))
  const withheld = [...all].filter((path) => isProtected(path, home) && (path === '/' || !force))
  const wanted = { execute: new Set(lists.execute), read: new Set(lists.read), write: new Set(lists.write) }
  for (const name of LISTS) for (const path of withheld) lists[name].delete(path)
  // A home directory that is given has its keys in it.
  const lets = (name: ListName, path: string) =>
    [...lists[name], ...(name === 'read' ? [...lists.execute, ...lists.write] : [])].some((one) => isBelow(path, one))
  const refused = withheld.filter((path) => LISTS.some((name) => wanted[name].has(path) && !lets(name, path)))
  return {
    lists: pruned(lists),
    guarded: [...all].filter((path) => isGuarded(path, home) && !refused.includes(path)).sort(),
    refused: refused.sort(),
  }
}
