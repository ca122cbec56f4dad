/** What goes in and comes out of processes. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { outputFifo, type Sequence } from '../sequences.ts'
import { Actor } from './actor.ts'

const inputFifo = (path: string) => {
  execFileSync('mkfifo', [path])
  return path
}
const printed = (text: string) => JSON.stringify(text)

export const output: Sequence = async (stage) => {
  const { dir } = stage.daemon
  const out = outputFifo(join(dir, 'out'))
  const err = outputFifo(join(dir, 'err'))
  const actor = await Actor.start(stage, (config) => {
    config.process.args = ['/bin/sh', '-c', 'echo out; echo err >&2; exec sleep 1000']
  })
  await actor.create({ stdout: out.path, stderr: err.path })
  await actor.call('Start')
  await actor.call('State')
  const more = [outputFifo(join(dir, 'more')), outputFifo(join(dir, 'more-err'))] as const
  await actor.ran('more', ['/bin/sh', '-c', 'yes 0123456789 | head -c 300000; echo end >&2'], {
    stdout: more[0].path,
    stderr: more[1].path,
  })
  actor.note(`exec printed → ${(await more[0].text).length} bytes and ${printed(await more[1].text)}`)
  await actor.kill()
  actor.note(`init printed → ${printed(await out.text)} and ${printed(await err.text)}`)
  await actor.leave()
}

/** Somebody keeps the output open who outlives the exec: Delete ends it in the end. */
export const outputHeld: Sequence = async (stage) => {
  const actor = await (await Actor.start(stage)).running()
  const out = outputFifo(join(stage.daemon.dir, 'out'))
  await actor.ran('held', ['/bin/sh', '-c', 'sleep 1000 & echo here'], { stdout: out.path, stderr: out.path })
  actor.note(`printed → ${printed(await out.text)}`)
  await actor.end()
}

export const input: Sequence = async (stage) => {
  const { dir } = stage.daemon
  const actor = await (await Actor.start(stage)).running()
  const stdin = inputFifo(join(dir, 'in'))
  const out = outputFifo(join(dir, 'out'))
  await actor.exec('cat', ['/bin/cat'], { stdin, stdout: out.path, stderr: out.path })
  await actor.call('Start', { execId: 'cat' })
  await actor.call('State', { execId: 'cat' })
  // Whoever leaves without CloseIO may come back.
  for (const text of ['one\n', 'two\n']) {
    const writer = openSync(stdin, 'w')
    writeSync(writer, text)
    closeSync(writer)
  }
  await actor.call('CloseIO', { execId: 'cat', stdin: true })
  await actor.call('Wait', { execId: 'cat' })
  await actor.call('CloseIO', { execId: 'cat', stdin: true })
  await actor.call('Delete', { execId: 'cat' })
  actor.note(`printed → ${printed(await out.text)}`)
  await actor.end()
}

export const terminal: Sequence = async (stage) => {
  const { dir } = stage.daemon
  const actor = await (await Actor.start(stage)).running()
  const out = outputFifo(join(dir, 'out'))
  const io = { terminal: true, stdin: inputFifo(join(dir, 'in')), stdout: out.path, stderr: join(dir, 'none') }
  await actor.exec('tty', { args: ['/bin/sh', '-c', 'read line; stty size; echo "$line"'], terminal: true }, io)
  await actor.call('ResizePty', { execId: 'tty', width: 80, height: 24 })
  await actor.call('Start', { execId: 'tty' })
  await actor.call('ResizePty', { execId: 'tty', width: 132, height: 50 })
  await actor.call('State', { execId: 'tty' })
  const writer = openSync(io.stdin, 'w')
  writeSync(writer, 'typed\n')
  await actor.call('Wait', { execId: 'tty' })
  closeSync(writer)
  await actor.call('ResizePty', { execId: 'tty', width: 0, height: 0 })
  await actor.call('Delete', { execId: 'tty' })
  actor.note(`printed → ${printed(await out.text)}`)
  await actor.end()
}

/** Init with a terminal, and one that its client sees only by `terminal`. */
export const terminalOfInit: Sequence = async (stage) => {
  const out = outputFifo(join(stage.daemon.dir, 'out'))
  const actor = await Actor.start(stage, (config) => {
    config.process.args = ['/bin/sh', '-c', 'tty; exec sleep 1000']
    config.process.terminal = true
  })
  await actor.create({ terminal: true, stdout: out.path })
  await actor.call('ResizePty', { width: 100, height: 30 })
  await actor.call('Start')
  await actor.call('ResizePty', { width: 0, height: 0 })
  await actor.call('State')
  await actor.kill()
  actor.note(`printed → ${printed(await out.text)}`)
  await actor.leave()
}

export const file: Sequence = async (stage) => {
  const path = join(stage.daemon.dir, 'logs/deep/log')
  const actor = await Actor.start(stage, (config) => {
    config.process.args = ['/bin/sh', '-c', 'echo out; echo err >&2']
  })
  await actor.create({ stdout: `file://${path}`, stderr: `file://${path}` })
  const waited = actor.begin('Wait')
  await actor.call('Start')
  await actor.noted(waited)
  await actor.call('Delete')
  actor.note(`logged → ${printed(readFileSync(path, 'utf8').split('\n').sort().join())}`)
  await actor.leave()
}

/** Less than what clients give. */
export const partial: Sequence = async (stage) => {
  const out = outputFifo(join(stage.daemon.dir, 'out'))
  const actor = await (await Actor.start(stage)).running()
  await actor.exec('stdout', ['/bin/echo'], { stdout: out.path })
  await actor.exec('terminal', { args: ['/bin/echo'], terminal: true }, { terminal: true })
  for (const execId of ['stdout', 'terminal']) {
    await actor.call('Start', { execId })
    await actor.waited({ execId })
    await actor.call('Delete', { execId })
  }
  await actor.end()
}
