/** Sequences of task API calls in which nothing happens at a time of its own: each exit is asked for, so that every run is the same. */
import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Bundle } from './bundle.ts'
import { type Image, Task } from './life.ts'
import type { Daemon } from './shim.ts'
import type { Transcript } from './transcript.ts'

export interface Stage {
  readonly id: string
  readonly daemon: Daemon
  readonly image: Image
  /** Of a shell that ends with 5 at SIGTERM. */
  readonly config: Bundle['config']
  readonly script: Transcript
  /** Waits for so many events of tasks that were deleted. */
  readonly events?: (deleted: number) => Promise<void>
}
export type Sequence = (stage: Stage) => Promise<void>

export const SHELL = ['/bin/sh', '-c', 'trap "exit 5" TERM; echo up; while :; do sleep 1000 & wait $!; done']

export const any = (type: string, value: object) => ({
  typeUrl: `types.containerd.io/opencontainers/runtime-spec/1/${type}`,
  value: new TextEncoder().encode(JSON.stringify(value)),
})
export const processOf = (config: Bundle['config'], change: object) => any('Process', { ...config.process, ...change })
export const rootfsOf = (image: Image) => [{ type: 'bind', source: image.dir, options: ['rbind', 'ro'] }]

/** A FIFO, when the first of something comes out of it, and what does until its end. */
export const outputFifo = (
  path: string,
): { readonly path: string; readonly begun: Promise<void>; readonly text: Promise<string> } => {
  execFileSync('mkfifo', [path])
  const reader = spawn('/bin/cat', [path], { stdio: ['ignore', 'pipe', 'inherit'] })
  const begun = Promise.withResolvers<void>()
  let text = ''
  reader.stdout.setEncoding('utf8').on('data', (more) => {
    begun.resolve()
    text += more
  })
  const ended = new Promise<string>((resolve) => reader.on('close', () => resolve(text)))
  return { path, begun: Promise.race([begun.promise, ended.then(() => {})]), text: ended }
}

/** One task's life: every method, errors among them. */
export const oneTask: Sequence = async ({ id, daemon, image, config, script, events }) => {
  const task = await Task.start(daemon, id, config)
  const call = (method: string, request = {}) => script.call(task, method, request)
  const rootfs = rootfsOf(image)
  const spec = processOf(config, { args: ['/bin/sleep', '1000'] })

  await call('Connect')
  await call('State')
  await call('Create', { bundle: task.bundle, rootfs })
  await call('Create', { bundle: task.bundle, rootfs })
  await call('State')
  const init = script.begin(task, 'Wait')
  await call('Start')
  await call('Start')
  await call('Connect')
  await call('Delete')
  await call('Stats')
  // One exec that ends by a signal, and one that never begins.
  await call('Exec', { execId: 'one', spec })
  await call('Exec', { execId: 'one', spec })
  const one = script.begin(task, 'Wait', { execId: 'one' })
  await call('Start', { execId: 'one' })
  await call('State', { execId: 'one' })
  await call('ResizePty', { execId: 'one', width: 80, height: 24 })
  await call('CloseIO', { execId: 'one', stdin: true })
  await call('Kill', { execId: 'one', signal: 9 })
  script.note(await one)
  await call('Kill', { execId: 'one', signal: 9 })
  await call('Delete', { execId: 'one' })
  await call('Delete', { execId: 'one' })
  await call('Exec', { execId: 'two', spec: processOf(config, { args: ['/bin/nope'] }) })
  await call('Start', { execId: 'two' })
  await call('Wait', { execId: 'two' })
  await call('Delete', { execId: 'two' })
  await call('Update', { resources: any('LinuxResources', { pids: { limit: 77 } }) })
  await call('Pause')
  await call('Pause')
  await call('State')
  await call('Resume')
  await call('Kill', { signal: 15 })
  script.note(await init)
  await call('State')
  await call('Start')
  await call('Kill', { signal: 15 })
  await call('Kill', { signal: 9, all: true })
  await call('Delete')
  await call('Delete')
  await events?.(1)
  await call('Shutdown')
  task.client.close()
  await daemon.delete(id)
}

/** A pod: a sandbox, a member in its pid namespace that ends while an exec lives, one that can't be created, output, a lost connection. */
export const pod: Sequence = async ({ id, daemon, image, config, script, events }) => {
  const annotations = { 'io.kubernetes.cri.sandbox-id': id }
  const rootfs = rootfsOf(image)
  const sandbox = await Task.start(daemon, id, {
    ...config,
    annotations: { ...annotations, 'io.kubernetes.cri.container-type': 'sandbox' },
  })
  const { pid } = await script.call(sandbox, 'Create', { bundle: sandbox.bundle, rootfs })
  await script.call(sandbox, 'Start')
  const namespaces = config.linux.namespaces.map((ns: { type: string }) =>
    ns.type === 'pid' ? { ...ns, path: `/proc/${pid}/ns/pid` } : ns,
  )
  const linux = { ...config.linux, namespaces }
  const member = await Task.start(daemon, `${id}-member`, { ...config, linux, annotations })
  const [out, err] = [outputFifo(join(daemon.dir, 'out')), outputFifo(join(daemon.dir, 'err'))]
  await script.call(member, 'Create', { bundle: member.bundle, rootfs, stdout: out.path, stderr: err.path })
  const ended = script.begin(member, 'Wait')
  await script.call(member, 'Start')
  const lost = await Task.start(daemon, `${id}-lost`, {
    ...config,
    annotations,
    process: { ...config.process, args: ['/nope'] },
  })
  await script.call(lost, 'Create', { bundle: lost.bundle, rootfs })
  await script.call(lost, 'Delete')
  // Whoever waits on a connection that is closed is forgotten; others are not.
  void script.begin(lost, 'Wait', { id: member.id }).catch(() => undefined)
  await script.call(lost, 'Shutdown')
  lost.client.close()
  await daemon.delete(lost.id)

  const [said, tty] = [outputFifo(join(daemon.dir, 'said')), outputFifo(join(daemon.dir, 'tty'))]
  await script.call(member, 'Exec', {
    execId: 'talk',
    stdout: said.path,
    stderr: said.path,
    spec: processOf(config, { args: ['/bin/sh', '-c', 'echo one; echo two; exec sleep 1000'] }),
  })
  const talked = script.begin(member, 'Wait', { execId: 'talk' })
  await script.call(member, 'Start', { execId: 'talk' })
  await script.call(member, 'Exec', {
    execId: 'tty',
    terminal: true,
    stdout: tty.path,
    spec: processOf(config, { args: ['/bin/sleep', '1000'] }),
  })
  await script.call(member, 'ResizePty', { execId: 'tty', width: 80, height: 24 })
  await script.call(member, 'Start', { execId: 'tty' })
  await script.call(member, 'ResizePty', { execId: 'tty', width: 132, height: 50 })
  await script.call(member, 'Kill', { execId: 'tty', signal: 9 })
  await script.call(member, 'Wait', { execId: 'tty' })
  // Init's end takes the others with it: one of them, as of two nobody could say which ends first.
  await script.call(member, 'Kill', { signal: 9 })
  script.note(await talked)
  script.note(await ended)
  await script.call(member, 'Exec', { execId: 'late', spec: processOf(config, { args: ['/bin/true'] }) })
  for (const execId of ['talk', 'tty', '']) await script.call(member, 'Delete', { execId })
  script.note({ line: `output: ${JSON.stringify([await out.text, await said.text])}` })
  await script.call(member, 'Shutdown')
  member.client.close()
  await daemon.delete(member.id)

  await script.call(sandbox, 'State')
  const over = script.begin(sandbox, 'Wait')
  await script.call(sandbox, 'Kill', { signal: 15 })
  script.note(await over)
  await script.call(sandbox, 'Delete')
  await events?.(2)
  await script.call(sandbox, 'Shutdown')
  sandbox.client.close()
  await daemon.delete(id)
}
