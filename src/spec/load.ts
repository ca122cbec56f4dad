import { BerthError } from '../errors.ts'
import { remembered } from '../remember.ts'
import { checkLinux, checkMappings, type Namespaces } from './check-linux.ts'
import { checkProcess } from './check-process.ts'
import { describe, type Finding, point, settle, show } from './finding.ts'
import { type Json, parseJson } from './json.ts'
import { explain } from './schema-error.ts'
import type { Mount, Process, Spec } from './types.ts'
import { validateProcess, validateSpec } from './validate.gen.js'

/** HOST_NAME_MAX of the kernel; the domain name has the same. */
const MAX_HOSTNAME = 64

/**
 * Loads a config.json: parses, validates, sets defaults and checks everything that can be told without the host. Throws a BerthError
 * `invalid` with the pointer to what is wrong. `runnable`: the process, where there is one, has to be one that can be run.
 */
export const loadSpec = (
  bytes: Uint8Array | string,
  file = 'config.json',
  { runnable = false }: { readonly runnable?: boolean } = {},
): LoadedSpec => {
  const load = () => {
    const document = validated(bytes, file, validateSpec)
    dropEmpty(document)
    const spec = document as unknown as Spec
    return { spec, warnings: settle(file, checkSpec(spec, runnable)) }
  }
  return rememberedSpec(`${typeof bytes} ${runnable} ${file}\0${textOf(bytes)}`, load)
}

/** Every byte as a character. */
const textOf = (bytes: Uint8Array | string): string =>
  typeof bytes === 'string' ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')

export interface LoadedSpec {
  readonly spec: Spec
  readonly warnings: readonly string[]
}

/** A pod's create, start and delete load one configuration three times, and many containers have the same. */
const rememberedSpec = remembered<LoadedSpec, [() => LoadedSpec]>(8, (_, load) => load())

/** Loads a bare process: what `exec --process` and containerd's Exec bring. */
export const loadProcess = (bytes: Uint8Array | string, file = 'process.json'): LoadedProcess => {
  const load = () => {
    const process = validated(bytes, file, validateProcess) as unknown as Process
    return { process, warnings: settle(file, checkProcess(process, '', true)) }
  }
  return rememberedProcess(`${typeof bytes} ${file}\0${textOf(bytes)}`, load)
}

export interface LoadedProcess {
  readonly process: Process
  readonly warnings: readonly string[]
}

/** containerd's Exec and its Start load one process twice, and a probe is the same each time. */
const rememberedProcess = remembered<LoadedProcess, [() => LoadedProcess]>(8, (_, load) => load())

const validated = (bytes: Uint8Array | string, file: string, validate: typeof validateSpec): Json => {
  const document = parseJson(bytes, { file, dropNulls: true, refuseNul: true })
  const error = validate(document) ? undefined : validate.errors?.[0]
  if (error) {
    const finding = explain(document, error)
    throw new BerthError('invalid', describe(file, finding), { pointer: finding.pointer })
  }
  return document
}

/** An empty path or type means that there is none: writers in Go can't always leave it out. */
const dropEmpty = (document: unknown): void => {
  type Emptyable = { path?: string; type?: string }
  const { linux } = document as {
    linux?: { namespaces?: Emptyable[]; resources?: { devices?: Emptyable[] } }
  }
  for (const namespace of linux?.namespaces ?? []) if (namespace.path === '') delete namespace.path
  for (const rule of linux?.resources?.devices ?? []) if (rule.type === '') delete rule.type
}

function* checkSpec(spec: Spec, runnable: boolean): Iterable<Finding> {
  const namespaces: Namespaces = new Map(spec.linux?.namespaces?.map((namespace) => [namespace.type, namespace]))
  yield* checkVersion(spec.ociVersion)
  if (spec.process) yield* checkProcess(spec.process, '/process', runnable)
  for (const name of ['hostname', 'domainname'] as const) {
    const value = spec[name]
    if (!value) continue
    if (!namespaces.has('uts')) yield { pointer: `/${name}`, message: 'needs a uts namespace' }
    if (Buffer.byteLength(value) > MAX_HOSTNAME) {
      yield { pointer: `/${name}`, message: `must have at most ${MAX_HOSTNAME} bytes (is ${show(value)})` }
    }
  }
  for (const [index, mount] of (spec.mounts ?? []).entries()) {
    yield* checkMount(mount, point('/mounts', index), namespaces)
  }
  if (spec.linux) yield* checkLinux(spec.linux, namespaces)
}

const NUMBER = '(0|[1-9][0-9]*)'
const SEMANTIC = new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}(-[0-9A-Za-z.-]+)?(\\+[0-9A-Za-z.-]+)?$`)

/** Any 1.x: minor versions only add what older readers ignore. */
function* checkVersion(version: string): Iterable<Finding> {
  const pointer = '/ociVersion'
  const match = SEMANTIC.exec(version)
  if (!match) yield { pointer, message: `must be a semantic version (is ${show(version)})` }
  else if (match[1] !== '1') yield { pointer, message: `version ${version} is not supported: expected 1.x` }
}

function* checkMount(mount: Mount, at: string, namespaces: Namespaces): Iterable<Finding> {
  if (!mount.destination.startsWith('/')) {
    const message = `relative path ${show(mount.destination)} is taken as relative to / (deprecated)`
    yield { pointer: point(at, 'destination'), message, warning: true }
  }
  const uids = mount.uidMappings?.length ?? 0
  const gids = mount.gidMappings?.length ?? 0
  if (uids > 0 !== gids > 0) {
    yield { pointer: at, message: 'uidMappings and gidMappings need each other' }
  }
  for (const name of ['uidMappings', 'gidMappings'] as const) yield* checkMappings(mount[name] ?? [], point(at, name))
  const idmap = mount.options?.find((option) => option === 'idmap' || option === 'ridmap')
  if (idmap && uids === 0 && !namespaces.has('user')) {
    yield { pointer: point(at, 'options'), message: `${idmap} needs uidMappings and gidMappings, or a user namespace` }
  }
}
