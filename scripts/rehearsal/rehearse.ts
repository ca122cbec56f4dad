/** Has V8 compile of the controller what its first requests need, by having them made. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultSpec } from '../../src/spec/default.ts'
import { stringifyJson } from '../../src/spec/json.ts'
import { Agent } from './agent.ts'
import { HOSTS, Host } from './host.ts'

const SOURCE = join(import.meta.dirname, '../../native/launcher/controller.c')

/** The flags that launchers give to Node. */
export const nodeFlags = (): string[] => {
  const [, list] = /^#define NODE_ARGS "berth-controller"(.*)$/m.exec(readFileSync(SOURCE, 'utf8')) ?? []
  if (list === undefined) throw new Error(`${SOURCE} has no NODE_ARGS`)
  return [...list.matchAll(/"([^"]+)"/g)].map(([, flag = '']) => flag)
}

/** `program`: its file; what was compiled goes to `compiled`. */
export const rehearse = async (program: string, compiled: string, build: string): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), 'berth-rehearsal-'))
  const server = createServer().listen(join(dir, 'bound'))
  await once(server, 'listening')
  // Closing it here takes the name away that it was bound by.
  const path = join(dir, 'socket')
  renameSync(join(dir, 'bound'), path)
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  const args = [...nodeFlags(), join(import.meta.dirname, 'controller.ts'), program, compiled, '--listen-fd', '3']
  const controller = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'pipe', fd], env: {} })
  server.close()
  const ended = once(controller, 'exit')
  const said: Buffer[] = []
  controller.stderr?.on('data', (chunk: Buffer) => said.push(chunk))
  const over: Promise<never> = ended.then(([code]) => {
    throw new Error(`the rehearsal's controller ended with ${code}`)
  })
  try {
    for (const kind of HOSTS) await Promise.race([over, play(path, new Host(kind), build)])
  } catch (error) {
    throw new Error(`the rehearsal failed: ${Buffer.concat(said)}`, { cause: error })
  } finally {
    controller.kill('SIGTERM')
    await ended
    rmSync(dir, { recursive: true })
  }
}

const play = async (path: string, host: Host, build: string): Promise<void> => {
  const spec = defaultSpec()
  const config = {
    ...spec,
    process: { ...spec.process, terminal: false },
    linux: { ...spec.linux, cgroupsPath: '/k8s/c' },
  }
  host.files.set('/bundle/config.json', stringifyJson(config))
  const agent = async () => {
    const socket = connect(path)
    await once(socket, 'connect')
    return Object.assign(new Agent(socket, host), { [Symbol.dispose]: () => socket.destroy() })
  }
  {
    using monitor = await agent()
    await monitor.task(build, 'c', '/bundle', { ...config.process, args: ['true'] })
  }
  for (const argv of [
    ['create', '--bundle', '/bundle', '--pid-file', '/pid', 'c'],
    ['exec', '--detach', 'c', 'true'],
    ['--root', '/run/berth', '--log', '/log.json', '--log-format', 'json', 'create', '--bundle', '/bundle', 'd'],
    ['run', '--bundle', '/bundle', 'e'],
  ]) {
    using launcher = await agent()
    await launcher.command(build, argv)
  }
}
