/** state.json: what TypeScript remembers of a container of the command line. */

import { BerthError } from '../errors.ts'
import type { Overlay } from '../layer/layer.ts'
import type { Template } from '../plan/ops.ts'
import type { Confinement } from '../policy/types.ts'
import { parseJson, stringifyJson } from '../spec/json.ts'

const VERSION = 1

/** A process, believed only together with its start time (clock ticks after boot). */
export interface ProcessId {
  readonly pid: number
  readonly startTime: bigint
}

export interface ContainerState {
  readonly id: string
  /** Absolute. */
  readonly bundle: string
  readonly ociVersion: string
  readonly init: ProcessId
  readonly monitor: ProcessId
  /** Of the kernel that it runs on: after another boot its pids are others'. */
  readonly bootId: string
  /** It has no pid namespace of its own: its other processes outlive its init. */
  readonly sharedPid: boolean
  /** RFC 3339, in UTC. */
  readonly created: string
  readonly annotations: Readonly<Record<string, string>>
  readonly rootfs: string
  readonly cgroupPaths: readonly string[]
  /** Who created it. */
  readonly uid: number
  /** How it was created, for compiling its plans again from config.json. */
  readonly options: CreateFlags
  /** Its policies, as they were when it was created. */
  readonly confinement?: Confinement
  /** Of a command on the host's root: where its changes are. */
  readonly layers?: readonly Overlay[]
}

export interface CreateFlags {
  readonly noPivot: boolean
  readonly noNewKeyring: boolean
  readonly systemdCgroup: boolean
  readonly preserveFds: number
}

/** The file, for the plan that makes the processes: the init is the one that it cloned, the monitor its own. */
export const stateTemplate = (state: Omit<ContainerState, 'init' | 'monitor'>): Template => {
  const { id, bundle, ociVersion, ...rest } = state
  return [
    `${stringifyJson({ version: VERSION, id, bundle, ociVersion }).slice(0, -1)},"init":{"pid":`,
    { hole: 'pid' },
    ',"startTime":',
    { hole: 'startTime' },
    '},"monitor":{"pid":',
    { hole: 'ownPid' },
    ',"startTime":',
    { hole: 'ownStartTime' },
    `},${stringifyJson(rest).slice(1)}`,
  ]
}

/** Throws BerthError 'invalid' for what is not as `stateTemplate` has it. */
export const decodeState = (bytes: Uint8Array, file: string): ContainerState => {
  const document = parseJson(bytes, { file })
  if (!isObject(document)) throw malformed(file, 'not an object')
  if (document.version !== VERSION) throw malformed(file, `of version ${document.version}, not ${VERSION}`)
  const at = new Fields(file, document)
  const options = at.object('options')
  return {
    id: at.text('id'),
    bundle: at.text('bundle'),
    ociVersion: at.text('ociVersion'),
    init: at.object('init').process(),
    monitor: at.object('monitor').process(),
    bootId: at.text('bootId'),
    sharedPid: at.flag('sharedPid'),
    created: at.text('created'),
    annotations: at.object('annotations').texts(),
    rootfs: at.text('rootfs'),
    cgroupPaths: at.list('cgroupPaths'),
    uid: at.number('uid'),
    options: {
      noPivot: options.flag('noPivot'),
      noNewKeyring: options.flag('noNewKeyring'),
      systemdCgroup: options.flag('systemdCgroup'),
      preserveFds: options.number('preserveFds'),
    },
    ...(Object.hasOwn(document, 'layers') ? { layers: at.objects('layers').map((layer) => layer.overlay()) } : {}),
    ...(Object.hasOwn(document, 'confinement') ? { confinement: at.object('confinement').confinement() } : {}),
  }
}

type JsonObject = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const malformed = (file: string, what: string): BerthError => new BerthError('invalid', `${file}: ${what}`)

/** Typed access to the members of an object in a document. */
class Fields {
  readonly #file: string
  readonly #object: JsonObject

  constructor(file: string, object: JsonObject) {
    this.#file = file
    this.#object = object
  }

  text(name: string): string {
    return this.#need(name, 'a string', (value) => typeof value === 'string') as string
  }

  number(name: string): number {
    return this.#need(name, 'an integer', Number.isInteger) as number
  }

  flag(name: string): boolean {
    return this.#need(name, 'a boolean', (value) => typeof value === 'boolean') as boolean
  }

  list(name: string): string[] {
    const isList = (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === 'string')
    return this.#need(name, 'a list of strings', isList) as string[]
  }

  object(name: string): Fields {
    return new Fields(this.#file, this.#need(name, 'an object', isObject) as JsonObject)
  }

  objects(name: string): Fields[] {
    const isList = (value: unknown) => Array.isArray(value) && value.every(isObject)
    return (this.#need(name, 'a list of objects', isList) as JsonObject[]).map((item) => new Fields(this.#file, item))
  }

  overlay(): Overlay {
    return { lower: this.text('lower'), upper: this.text('upper'), work: this.text('work') }
  }

  texts(): Readonly<Record<string, string>> {
    for (const name of Object.keys(this.#object)) this.text(name)
    return this.#object as Readonly<Record<string, string>>
  }

  lists(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(Object.keys(this.#object).map((name) => [name, this.list(name)]))
  }

  process(): ProcessId {
    const start = this.#need('startTime', 'an integer', (value) => typeof value === 'bigint' || Number.isInteger(value))
    return { pid: this.number('pid'), startTime: BigInt(start as number | bigint) }
  }

  /** Policies are taken as they were written: they had been checked by then. */
  confinement(): Confinement {
    const policies = this.#need(
      'policies',
      'a list of objects',
      (value) => Array.isArray(value) && value.every(isObject),
    )
    return {
      landlock: this.number('landlock'),
      ...(Object.hasOwn(this.#object, 'network') ? { network: this.text('network') } : {}),
      ...(this.#object.supervises === true ? { supervises: true } : {}),
      policies: policies as Confinement['policies'],
      ...(Object.hasOwn(this.#object, 'addresses') ? { addresses: this.object('addresses').lists() } : {}),
    }
  }

  #need(name: string, what: string, is: (value: unknown) => boolean): unknown {
    const value = Object.hasOwn(this.#object, name) ? this.#object[name] : undefined
    if (!is(value)) throw malformed(this.#file, `"${name}" is not ${what}`)
    return value
  }
}
