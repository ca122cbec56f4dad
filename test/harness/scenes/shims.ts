/** What is asked of a shim beside its tasks: groups, options, the wire. */
import { containerd } from '../../../shim/proto/messages.gen.js'
import { containerd as figures } from '../../../shim/proto/metrics.gen.js'
import type { Config } from '../bundle.ts'
import type { Sequence } from '../sequences.ts'
import { Actor } from './actor.ts'

const { Metrics: V1 } = figures.metrics.v1
const { Metrics: V2 } = figures.metrics.v2

/** The shim's own id is its group's, as a pod's is. */
const grouped =
  (group: string, namespaces: object = {}) =>
  (config: Config): void => {
    config.annotations = { 'io.containerd.runc.v2.group': group }
    config.linux.namespaces = config.linux.namespaces.map((ns: { type: string }) => ({
      ...ns,
      ...(ns.type in namespaces ? { path: (namespaces as Record<string, string>)[ns.type] } : {}),
    }))
  }

/** Three tasks of one shim, of which two share a pid namespace. */
export const group: Sequence = async (stage) => {
  const first = await Actor.start(stage, grouped(stage.id))
  const created = await first.create()
  await first.call('Start')
  const shared = { pid: `/proc/${created?.pid}/ns/pid`, ipc: `/proc/${created?.pid}/ns/ipc` }
  const second = await Actor.start(stage, grouped(stage.id, shared), '-second')
  const third = await Actor.start(stage, grouped(stage.id), '-third')
  await second.running()
  await third.create()
  await second.exec('one')
  await second.call('Start', { execId: 'one' })
  await second.call('Pids')
  await first.call('Pids')
  // Each connection serves each task.
  await first.call('State', { id: second.task.id })
  await second.call('Connect', { id: third.task.id })
  await first.call('State', { execId: 'one' })
  await first.call('Shutdown')
  await first.call('Shutdown', { now: true })
  // What shares init's pid namespace goes with it.
  const one = second.begin('Wait', { execId: 'one' })
  const init = second.begin('Wait')
  await second.call('Kill', { signal: 9 })
  await second.noted(one)
  await second.noted(init)
  await second.call('Delete', { execId: 'one' })
  await second.call('Delete')
  await second.leave()
  await first.call('State')
  // An id may be used again.
  const again = await Actor.start(stage, grouped(stage.id), '-second')
  await again.running()
  await again.end()
  await third.call('Start')
  await third.end()
  await first.end()
}

/** A shim serves tasks of other ids than its own. */
export const foreign: Sequence = async (stage) => {
  const actor = await Actor.start(stage)
  const id = `${stage.id}-other`
  await actor.create({ id })
  await actor.call('State')
  await actor.call('Shutdown')
  await actor.call('Start', { id })
  await actor.call('Kill', { id, signal: 9 })
  await actor.call('Wait', { id })
  await actor.call('Delete', { id })
  await actor.leave()
}

export const badIds: Sequence = async (stage) => {
  const actor = await Actor.start(stage)
  for (const id of ['', '.', '../up', 'a/b', 'a b', 'ü']) await actor.create({ id })
  await actor.leave()
}

export const options: Sequence = async (stage) => {
  const actor = await Actor.start(stage)
  const value = containerd.options.RuncOptions.encode({ ioUid: 1000, ioGid: 1000 }).finish()
  const given = [
    { typeUrl: 'containerd.runc.v1.Options', value },
    { typeUrl: 'runtimeoptions.v1.Options', value: new Uint8Array() },
    { typeUrl: 'nobody.v1.Options', value: new Uint8Array() },
  ]
  for (const options of given) {
    await actor.create({ options })
    await actor.call('Start')
    await actor.kill()
  }
  await actor.leave()
}

/** The fields that an answer of Stats has, but for numbers: one that is 0 has no bytes. */
const fields = (message: object, path = ''): string[] =>
  Object.entries(message).flatMap(([name, value]) => {
    if (typeof value !== 'object' || value === null || typeof value.toNumber === 'function') return []
    const items: object[] = Array.isArray(value) ? value : [value]
    const at = `${path}${name}`
    return [at, ...items.filter((item) => typeof item === 'object').flatMap((item) => fields(item, `${at}.`))]
  })

export const stats: Sequence = async (stage) => {
  const actor = await Actor.start(stage, (config) => {
    config.linux.resources = { ...config.linux.resources, pids: { limit: 50 } }
  })
  await actor.create()
  const { stats: any } = await actor.call('Stats')
  const metrics = any.typeUrl.includes('.v1.') ? V1.decode(any.value) : V2.decode(any.value)
  actor.note(`Stats has → ${[...new Set(fields(metrics))].sort().join(' ')}`)
  actor.note(`pids.limit → ${metrics.pids?.limit}`)
  const sizes = metrics.hugetlb?.map(({ pagesize }) => pagesize).sort()
  actor.note(`sizes of huge pages → ${sizes?.join(' ')}`)
  await actor.call('Start')
  await actor.end()
}

/** What is not of the task API, or no message. */
export const wire: Sequence = async (stage) => {
  const actor = await Actor.start(stage)
  for (const version of ['v2', 'v3']) {
    await actor.raw(`containerd.task.${version}.Task`, 'Nope')
    await actor.raw(`containerd.task.${version}.Task`, 'Connect')
    await actor.raw(`containerd.task.${version}.Task`, 'State')
    await actor.raw(`containerd.task.${version}.Task`, 'State', new Uint8Array([0xff]))
  }
  await actor.raw('containerd.task.v1.Task', 'State')
  await actor.raw('', '')
  await actor.leave()
}
