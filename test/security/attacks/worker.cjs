// In the place of the proxy's program: tells by its log what it could do, says that it is ready, and at SIGUSR1 executes a program.
const { spawnSync } = require('node:child_process')
const { mkdirSync, readFileSync, writeFileSync, writeSync } = require('node:fs')
const { connect, createServer } = require('node:net')
const { Worker } = require('node:worker_threads')

const READY = 4
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

const main = async () => {
  const tried = {
    thread: await new Promise((resolve) =>
      new Worker('require("node:worker_threads").parentPort.postMessage("works")', { eval: true })
        .once('message', resolve)
        .once('error', (error) => resolve(codeOf(error))),
    ),
    spawn: codeOf(spawnSync(process.execPath, ['--version']).error ?? 'done'),
    shadow: attempt(() => readFileSync('/etc/shadow')),
    hosts: attempt(() => readFileSync('/etc/hosts')),
    memory: attempt(() => readFileSync('/proc/self/mem')),
    write: attempt(() => writeFileSync(`${__dirname}/new`, '')),
    make: attempt(() => mkdirSync('/new')),
    listen: await event(createServer().listen(0, '127.0.0.1'), 'listening'),
    unix: await event(connect('/run/containerd/containerd.sock'), 'connect'),
    other: await event(connect(9, '127.0.0.1'), 'connect'),
    port80: await event(connect(80, '127.0.0.1'), 'connect'),
    signal: attempt(() => process.kill(2, 'SIGKILL')),
  }
  writeSync(1, `${JSON.stringify(tried)}\n`)
  process.on('SIGUSR1', () => process.execve(process.execPath, [process.execPath, '--version'], {}))
  setInterval(() => {}, 1000)
  writeSync(READY, 'r')
}
void main()
