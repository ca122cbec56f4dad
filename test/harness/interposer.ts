/**
 * Stands between monitors and their controllers: takes the place of the controller's socket, starts a controller for each connection, and
 * passes the frames on, one by one, so that a controller can be killed at exactly one of them. It needs the event loop of this process:
 * while it is there no berth may be run synchronously.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type Frame, FrameReader } from '../../src/controller/wire.ts'
import { controllerPids, dist, until } from './host.ts'
import { berth } from './run.ts'

/** What becomes of a frame. `kill`: it is the last that passes; `tear`: of it only the first half does, or nothing of it. */
export type Verdict = 'pass' | 'kill' | 'tear'
export interface Passing extends Frame {
  readonly toController: boolean
}

/** A controller of one connection, booted before it is needed. */
class Spare {
  readonly process: ChildProcess
  readonly stream: Duplex
  readonly ended: Promise<unknown>
  constructor() {
    const args = [join(dist, 'controller.js'), '--serve-fd', '3']
    this.process = spawn(join(dist, 'node'), args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'], env: {} })
    this.stream = this.process.stdio[3] as Duplex
    this.stream.on('error', () => {}) // 'close' follows
    this.ended = new Promise((resolve) => this.process.once('exit', resolve))
  }
  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.ended
  }
}

const encode = ({ type, payload }: Frame): Buffer => {
  const frame = Buffer.alloc(5 + payload.length)
  frame.writeUInt32LE(1 + payload.length, 0)
  frame[4] = type
  frame.set(payload, 5)
  return frame
}

/** The socket that this build's controller listens on; one is started to find out, and ended. */
async function controllerSocket(): Promise<string> {
  const done = await berth(['list', '-q'])
  assert.equal(done.code, 0, done.stderr)
  const unix = readFileSync('/proc/net/unix', 'utf8')
  const pids = controllerPids()
  // It gets its listening socket as descriptor 3.
  const inodes = pids.map((pid) => /socket:\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/fd/3`))?.[1])
  const lines = unix.split('\n').map((line) => line.trim().split(/\s+/))
  const path = lines.find((fields) => inodes.includes(fields[6]) && fields[7]?.includes('/.controller/'))?.[7]
  assert.ok(path, 'a controller listens')
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await until('the controller has ended', () => controllerPids().length === 0)
  return path
}

export class Interposer implements AsyncDisposable {
  /** Asked for every frame, in the order in which they pass. */
  judge: (frame: Passing) => Verdict = () => 'pass'
  /** How many controllers were killed. */
  kills = 0
  /** How many ended by themselves, with an error. */
  crashes = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #controllers = new Set<Spare>()
  #spare = this.#boot()
  #closed = false

  private constructor(path: string) {
    this.#server = createServer((socket) => this.#serve(socket))
    rmSync(path, { force: true })
    this.#server.listen(path)
    chmodSync(path, 0o600)
  }

  static async start(): Promise<Interposer> {
    return new Interposer(await controllerSocket())
  }

  #boot(): Spare {
    const spare = new Spare()
    this.#controllers.add(spare)
    void spare.ended.then(() => {
      this.#controllers.delete(spare)
      if (spare.process.exitCode) this.crashes++
    })
    return spare
  }

  #serve(agent: Socket): void {
    if (this.#closed) return void agent.destroy()
    const controller = this.#spare
    this.#spare = this.#boot()
    this.#sockets.add(agent)
    const { stream } = controller
    let dead = false
    const kill = async () => {
      dead = true
      this.kills++
      await controller.kill()
      agent.end()
    }
    const carry = (from: Duplex, to: Duplex, toController: boolean) => {
      const frames = new FrameReader()
      from.on('data', (chunk: Buffer) => {
        for (const frame of frames.push(new Uint8Array(chunk))) {
          if (dead) return
          const verdict = this.judge({ ...frame, toController })
          const bytes = encode(frame)
          if (verdict !== 'tear') to.write(bytes)
          else if (!toController) to.write(bytes.subarray(0, bytes.length / 2))
          if (verdict !== 'pass') void kill()
        }
      })
    }
    carry(agent, stream, true)
    carry(stream, agent, false)
    agent.on('error', () => {})
    agent.on('close', () => {
      this.#sockets.delete(agent)
      stream.destroy()
    })
    stream.on('close', () => {
      if (!dead) agent.end()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all([...this.#controllers].map((controller) => controller.kill()))
    await new Promise((done) => this.#server.close(done)) // takes its path away, too
  }
}
