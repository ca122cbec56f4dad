// A policy's module that tries what a module must not be able to do, and tells by its log what it could. At the first execve it executes a program itself.
import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { Worker } from 'node:worker_threads'

const codeOf = (error) => error.code ?? String(error)
const attempt = (what) => {
  try {
    what()
    return 'done'
  } catch (error) {
    return codeOf(error)
  }
}
const event = (emitter, good) =>
  new Promise((resolve) => emitter.once('error', (error) => resolve(codeOf(error))).once(good, () => resolve('done')))
const thread = new Worker('require("node:worker_threads").parentPort.postMessage("works")', { eval: true })

const tried = {
  thread: await new Promise((resolve) => thread.once('message', resolve).once('error', resolve)),
  spawn: codeOf(spawnSync(process.execPath, ['--version']).error ?? 'done'),
  bare: codeOf(spawnSync(process.execPath, ['--version'], { stdio: 'inherit' }).error ?? 'done'),
  shadow: attempt(() => readFileSync('/etc/shadow')),
  memory: attempt(() => readFileSync('/proc/self/mem')),
  write: attempt(() => writeFileSync('/new', '')),
  listen: await event(createServer().listen(0, '127.0.0.1'), 'listening'),
  tcp: await event(connect(80, '127.0.0.1'), 'connect'),
  udp: await event(createSocket('udp4').bind(0), 'listening'),
  unix: await event(connect('/run/containerd/containerd.sock'), 'connect'),
  abstract: await event(connect('\0name'), 'connect'),
  interfaces: attempt(networkInterfaces),
  signal: attempt(() => process.kill(2, 'SIGKILL')),
}
console.error(JSON.stringify(tried))

export const onSyscall = () => process.execve(process.execPath, [process.execPath, '--version'], {})
