/** Creates and Starts that fail, and what can be done after them. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../bundle.ts'
import type { Sequence } from '../sequences.ts'
import { Actor, failure } from './actor.ts'

/** A Create that fails: the task is not known after it, and the shim leaves when it is told to. */
const failing =
  (change: (config: Config) => void, break_: (bundle: string) => void = () => {}, request = {}): Sequence =>
  async (stage) => {
    const actor = await Actor.start(stage, change)
    break_(actor.task.bundle)
    await actor.create(request)
    await actor.call('State')
    await actor.call('Wait')
    await actor.call('Delete')
    await actor.leave()
  }

const broken = (text: string) => (bundle: string) => writeFileSync(join(bundle, 'config.json'), text)

export const creates: Readonly<Record<string, Sequence>> = {
  'create: missing program': failing((config) => {
    config.process.args = ['/bin/nope']
  }),
  'create: program that is not in PATH': failing((config) => {
    config.process.args = ['nope']
  }),
  'create: program that is a directory': failing((config) => {
    config.process.args = ['/etc']
  }),
  'create: program that may not be executed': failing((config) => {
    config.process.args = ['/etc/passwd']
  }),
  'create: missing cwd': failing((config) => {
    config.process.cwd = '/nope'
  }),
  'create: user that cannot be': failing((config) => {
    config.process.user = { uid: 4294967295, gid: 0 }
  }),
  'create: missing source of a mount': failing((config) => {
    config.mounts.push({ destination: '/mnt', type: 'bind', source: '/nope/none', options: ['bind'] })
  }),
  'create: failing hook': failing((config) => {
    config.hooks = { createRuntime: [{ path: '/bin/false' }] }
  }),
  'create: root file system that cannot be mounted': failing(() => {}, undefined, {
    rootfs: [{ type: 'bind', source: '/nope/none', options: ['rbind'] }],
  }),
  'create: config.json that is no JSON': failing(() => {}, broken('{"ociVersion":')),
  'create: config.json with a wrong type': failing(
    () => {},
    broken('{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":"none"}'),
  ),
  'create: config.json missing': failing(
    () => {},
    (bundle) => rmSync(join(bundle, 'config.json')),
  ),
  'create: bundle missing': failing(() => {}, undefined, { bundle: '/nope/none' }),
  'create: output of an unknown scheme': failing(() => {}, undefined, { stdout: 'nope:///x', stderr: 'nope:///x' }),
  'create: output that is missing': failing(() => {}, undefined, { stdout: '/nope/none', stderr: '/nope/none' }),
}

export const execs: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  const failed = async (execId: string, how: Parameters<Actor['exec']>[1], request = {}) => {
    await actor.exec(execId, how, request)
    await actor.call('Start', { execId })
    await actor.call('State', { execId })
    await actor.waited({ execId })
    await actor.call('Kill', { execId, signal: 9 })
    await actor.call('Delete', { execId })
    await actor.call('Delete', { execId })
  }
  await failed('missing', ['/bin/nope'])
  await failed('path', ['nope'])
  await failed('directory', ['/etc'])
  await failed('plain', ['/etc/passwd'])
  await failed('cwd', { cwd: '/nope' })
  await failed('user', { user: { uid: 4294967295, gid: 0 } })
  await failed('relative', { cwd: 'nope' })
  await failed('scheme', {}, { stdout: 'nope:///x', stderr: 'nope:///x' })
  await failed('output', {}, { stdout: '/nope/none', stderr: '/nope/none' })
  await actor.exec('no-arguments', [])
  await actor.call('Start', { execId: 'no-arguments' })
  await actor.call('Exec', {
    execId: 'no-json',
    spec: { typeUrl: 'types.containerd.io/x', value: new Uint8Array([123]) },
  })
  await actor.call('State', { execId: 'no-json' })
  for (const execId of ['', '../up', 'a/b', 'a b', 'ü', '.dot', 'x'.repeat(76), 'x'.repeat(77)]) {
    await actor.exec(execId)
    await actor.call('State', { execId })
  }
  await actor.end()
}

/** Of its own, as it ends the reference. */
export const execOfNothing: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  await actor.call('Exec', { execId: 'nothing' })
  await actor.end()
}

/** Starts of init that fail: whoever waits is answered, and the task can be deleted. */
const startFails =
  (change: (config: Config) => void): Sequence =>
  async (stage) => {
    const actor = await Actor.start(stage, change)
    await actor.create()
    const waited = actor.begin('Wait')
    await actor.call('Start')
    await actor.noted(waited)
    await actor.call('State')
    await actor.call('Kill', { signal: 9 })
    await actor.call('Start')
    await actor.call('Delete')
    await actor.call('Delete')
    await actor.leave()
  }

export const starts: Readonly<Record<string, Sequence>> = {
  'start: program without its interpreter': startFails((config) => {
    config.process.args = ['/bin/orphan']
  }),
  'start: failing startContainer hook': startFails((config) => {
    config.hooks = { startContainer: [{ path: '/bin/false' }] }
  }),
  'start: failing poststart hook': startFails((config) => {
    config.hooks = { poststart: [{ path: '/bin/false' }] }
  }),
}

/** A start call of a bundle without a configuration. */
export const startCall: Sequence = async ({ id, daemon, script }) => {
  daemon.bundle(id)
  const outcome = await daemon.start(id).then(() => 'an address', failure)
  script.note({ line: `start → ${script.text(outcome)}` })
  // As containerd cleans up after a shim that died: it may do so before it can remove its socket.
  await daemon.stop(id)
  await daemon.deserted()
  await daemon.delete(id).catch(failure)
}
