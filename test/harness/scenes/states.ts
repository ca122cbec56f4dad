/** Every method in every state of a task and of an exec. */
import { join } from 'node:path'
import { any, outputFifo, type Sequence } from '../sequences.ts'
import { Actor } from './actor.ts'

const limit = (pids: number) => ({ resources: any('LinuxResources', { pids: { limit: pids } }) })

/** What may be asked of a task, without an end of its own. */
const everything = async (actor: Actor, execId = 'late'): Promise<void> => {
  await actor.call('State')
  await actor.call('Connect')
  await actor.call('ResizePty', { width: 80, height: 24 })
  await actor.call('CloseIO', { stdin: true })
  await actor.call('CloseIO', { stdin: false })
  await actor.call('Update', limit(70))
  await actor.exec(execId)
}

export const unknown: Sequence = async (stage) => {
  const actor = await Actor.start(stage)
  for (const method of ['State', 'Start', 'Delete', 'Pids', 'Pause', 'Resume', 'Kill', 'ResizePty', 'CloseIO', 'Wait'])
    await actor.call(method)
  for (const method of ['Stats', 'Connect', 'Checkpoint']) await actor.call(method)
  await actor.call('Update', limit(70))
  await actor.exec('one')
  await actor.call('Kill', { signal: 9, all: true })
  for (const method of ['State', 'Start', 'Kill', 'Wait', 'Delete']) await actor.call(method, { execId: 'one' })
  await actor.running()
  for (const method of ['State', 'Start', 'Delete', 'Kill', 'ResizePty', 'CloseIO', 'Wait'])
    await actor.call(method, { execId: 'nobody' })
  await actor.call('State', { id: '' })
  await actor.end()
}

export const created: Sequence = async (stage) => {
  const actor = await Actor.start(stage)
  await actor.create()
  await everything(actor)
  await actor.call('Pids')
  await actor.call('Stats')
  await actor.call('Pause')
  await actor.call('Resume')
  await actor.call('Start', { execId: 'late' })
  await actor.call('Pids')
  await actor.call('Kill', { execId: 'late', signal: 9 })
  await actor.call('Wait', { execId: 'late' })
  await actor.call('Delete', { execId: 'late' })
  await actor.call('Start')
  await actor.end()
}

export const deletedBeforeStart: Sequence = async (stage) => {
  const actor = await Actor.start(stage)
  await actor.create()
  const waited = actor.begin('Wait')
  await actor.call('Shutdown')
  await actor.call('Delete')
  await actor.waited({}, waited)
  await actor.call('Delete')
  await actor.leave()
}

export const killedBeforeStart: Sequence = async (stage) => {
  const actor = await Actor.start(stage)
  await actor.create()
  await actor.call('Kill', { signal: 9 })
  await actor.call('Wait')
  await actor.call('State')
  await actor.call('Start')
  await actor.exec('late')
  await actor.call('Kill', { signal: 9 })
  await actor.call('Delete')
  await actor.leave()
}

export const running: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  await actor.create()
  await everything(actor)
  await actor.call('Resume')
  await actor.call('Start')
  await actor.call('Start', { execId: 'late' })
  await actor.call('Pids')
  await actor.call('Delete', { execId: 'late' })
  await actor.call('Delete')
  await actor.call('Update', limit(0))
  await actor.call('Update', { resources: { typeUrl: 'types.containerd.io/none', value: new Uint8Array() } })
  await actor.call('Update', { resources: any('LinuxResources', { pids: { limit: 'many' } }) })
  await actor.call('Kill', { signal: 0 })
  await actor.call('Kill', { signal: 99 })
  await actor.call('Kill', { execId: 'late', signal: 99 })
  await actor.call('Kill', { execId: 'late', signal: 9 })
  await actor.call('Wait', { execId: 'late' })
  await actor.call('Pids')
  await actor.end()
}

/** Of its own, as it ends the reference. */
export const emptyUpdate: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  await actor.call('Update')
  await actor.end()
}

export const paused: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  await actor.exec('before')
  await actor.call('Start', { execId: 'before' })
  await actor.exec('never')
  await actor.call('Pause')
  await everything(actor)
  await actor.call('State', { execId: 'before' })
  await actor.call('State', { execId: 'never' })
  await actor.call('Start', { execId: 'never' })
  await actor.call('Pids')
  await actor.call('Pause')
  await actor.call('Start')
  await actor.call('Delete')
  await actor.call('Delete', { execId: 'before' })
  await actor.call('Resume')
  await actor.call('Resume')
  await actor.call('State')
  await actor.call('Kill', { execId: 'before', signal: 9 })
  await actor.call('Wait', { execId: 'before' })
  await actor.call('Delete', { execId: 'before' })
  await actor.call('Pause')
  // A process that is frozen ends all the same.
  await actor.call('Kill', { signal: 9 })
  await actor.call('Wait')
  await actor.call('State')
  await actor.call('Delete')
  await actor.leave()
}

export const stopped: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  await actor.exec('ended')
  await actor.call('Start', { execId: 'ended' })
  await actor.exec('never')
  await actor.call('Kill', { execId: 'ended', signal: 9 })
  await actor.call('Wait', { execId: 'ended' })
  await actor.call('Kill', { signal: 9 })
  await actor.call('Wait')
  await everything(actor)
  await actor.call('Wait')
  await actor.call('Pids')
  await actor.call('Pause')
  await actor.call('Resume')
  await actor.call('Start')
  await actor.call('Kill', { signal: 15 })
  await actor.call('Kill', { signal: 15, all: true })
  await actor.call('State', { execId: 'ended' })
  await actor.call('State', { execId: 'never' })
  await actor.call('Start', { execId: 'never' })
  await actor.call('State', { execId: 'never' })
  await actor.call('Kill', { execId: 'never', signal: 9 })
  await actor.call('Delete', { execId: 'never' })
  await actor.call('Shutdown')
  await actor.call('Delete')
  await actor.call('State', { execId: 'ended' })
  for (const method of ['Delete', 'State', 'Wait', 'Kill', 'Connect']) await actor.call(method)
  await actor.leave()
}

/** Execs in each state. */
export const execStates: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  await actor.exec('never')
  await actor.call('State', { execId: 'never' })
  await actor.call('Kill', { execId: 'never', signal: 9 })
  await actor.call('Kill', { execId: 'never', signal: 9, all: true })
  await actor.call('ResizePty', { execId: 'never', width: 80, height: 24 })
  await actor.call('CloseIO', { execId: 'never', stdin: true })
  await actor.exec('never')
  await actor.call('Delete', { execId: 'never' })
  await actor.call('State', { execId: 'never' })
  await actor.call('Start', { execId: 'never' })
  // A name may be used again.
  await actor.ran('never', ['/bin/true'])
  await actor.exec('ended', ['/bin/false'])
  await actor.call('Start', { execId: 'ended' })
  await actor.call('Wait', { execId: 'ended' })
  await actor.call('Wait', { execId: 'ended' })
  await actor.call('State', { execId: 'ended' })
  await actor.call('Start', { execId: 'ended' })
  await actor.exec('ended')
  await actor.call('Kill', { execId: 'ended', signal: 9 })
  await actor.call('ResizePty', { execId: 'ended', width: 80, height: 24 })
  await actor.call('CloseIO', { execId: 'ended', stdin: true })
  await actor.call('Delete', { execId: 'ended' })
  await actor.call('Wait', { execId: 'ended' })
  await actor.end()
}

/** Of its own, as it makes one version of the reference panic when init ends. */
export const execStartedTwice: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  await actor.exec('one')
  await actor.call('Start', { execId: 'one' })
  await actor.call('Start', { execId: 'one' })
  await actor.call('Kill', { execId: 'one', signal: 9 })
  await actor.call('Wait', { execId: 'one' })
  await actor.call('Delete', { execId: 'one' })
  await actor.end()
}

/** Init ends while execs live: their exits come first. One of them, as of two nobody could say which ends first. */
export const initEndsFirst: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  await actor.exec('one')
  await actor.call('Start', { execId: 'one' })
  const one = actor.begin('Wait', { execId: 'one' })
  const init = actor.begin('Wait')
  await actor.call('Kill', { signal: 9 })
  await actor.noted(one)
  await actor.noted(init)
  await actor.call('Delete', { execId: 'one' })
  await actor.call('Delete')
  await actor.leave()
}

export const waits: Sequence = async (stage) => {
  const actor = await Actor.start(stage)
  await actor.call('Wait')
  await actor.create()
  const other = await actor.again()
  const early = [actor, actor, actor, other, other].map((who) => who.begin('Wait'))
  const started = actor.begin('Start')
  const during = actor.begin('Wait')
  await actor.noted(started)
  await actor.exec('one')
  const before = [actor, other].map((who) => who.begin('Wait', { execId: 'one' }))
  await actor.call('Start', { execId: 'one' })
  const after = actor.begin('Wait', { execId: 'one' })
  await actor.exec('never')
  const never = actor.begin('Wait', { execId: 'never' })
  await actor.exec('nope', ['/bin/nope'])
  const failing = actor.begin('Wait', { execId: 'nope' })
  await actor.call('Start', { execId: 'nope' })
  await actor.noted(failing)
  await actor.call('Kill', { execId: 'one', signal: 2 })
  for (const wait of [...before, after]) await actor.noted(wait)
  await actor.call('Wait', { execId: 'one' })
  await actor.call('Kill', { signal: 9 })
  for (const wait of [...early, during]) await actor.noted(wait)
  await actor.call('Wait')
  await other.call('Wait')
  for (const execId of ['one', 'nope', 'never']) await actor.call('Delete', { execId })
  await actor.waited({ execId: 'never' }, never)
  await actor.call('Delete')
  other.task.client.close()
  await actor.leave()
}

/** How ends are told: by code, and by signal. */
export const exitCodes: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  for (const code of [0, 1, 255]) await actor.ran(`code${code}`, ['/bin/sh', '-c', `exit ${code}`])
  for (const signal of [1, 2, 6, 9, 11, 15, 34, 64]) {
    const execId = `signal${signal}`
    const out = outputFifo(join(stage.daemon.dir, execId))
    await actor.exec(execId, ['/bin/sh', '-c', 'echo up; exec sleep 1000'], { stdout: out.path, stderr: out.path })
    await actor.call('Start', { execId })
    // The reference answers before the program runs: a signal that comes first is for runc's own Go, which ends otherwise by some and ignores others.
    await out.begun
    await actor.call('Kill', { execId, signal })
    await actor.call('Wait', { execId })
  }
  await actor.end()
}
