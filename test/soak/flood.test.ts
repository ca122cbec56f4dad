/** Minutes of what test/containerd/bad-input.test.ts does for seconds: one client asks as fast as it can, in every way, while others live. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { MAX_PAYLOAD } from '../../shim/ttrpc/index.ts'
import { notHere } from '../harness/bundle.ts'
import { controllerPids, until } from '../harness/host.ts'
import { closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { frameHeader, Raw, requestFrame } from '../harness/raw.ts'
import { processOf } from '../harness/sequences.ts'
import { Daemon } from '../harness/shim.ts'
import { End } from '../harness/stdio.ts'

const v2 = containerd.task
const FLOOD_MS = Number(process.env.FLOOD_MS ?? 60_000)
const MIB = 1 << 20

describe('floods', { skip: notHere }, () => {
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  let pod: Task
  let path: string
  let monitor: number
  const annotations = { 'io.kubernetes.cri.sandbox-id': 'pod' }

  const descriptors = () => readdirSync(`/proc/${monitor}/fd`).length
  const privateKb = () =>
    Number(/Private_Dirty: +(\d+)/.exec(readFileSync(`/proc/${monitor}/smaps_rollup`, 'utf8'))?.[1])

  before(async () => {
    daemon = new Daemon()
    image = new Image()
    events = eventsSocket(daemon)
    pod = await Task.start(daemon, 'pod', { ...image.config(['/bin/sleep', '10000']), annotations })
    path = await daemon.start('pod')
    await pod.create(image)
    await pod.call('Start', v2.StartRequest.encode({ id: 'pod' }).finish())
    const request = v2.ConnectRequest.encode({ id: 'pod' }).finish()
    monitor = v2.ConnectResponse.decode(await pod.call('Connect', request)).shimPid
  })
  after(async () => {
    try {
      await pod.call('Kill', v2.KillRequest.encode({ id: 'pod', signal: 9 }).finish())
      await pod.call('Wait', v2.WaitRequest.encode({ id: 'pod' }).finish())
      await pod.call('Delete', v2.DeleteRequest.encode({ id: 'pod' }).finish())
      await pod.call('Shutdown', v2.ShutdownRequest.encode({ id: 'pod' }).finish())
    } finally {
      closeClients()
      await daemon.delete('pod')
      events.close()
      daemon[Symbol.dispose]()
      image[Symbol.dispose]()
    }
  })

  const live = async (id: string): Promise<number> => {
    const begin = performance.now()
    const member = await Task.start(daemon, id, { ...image.config(['/bin/sh', '-c', 'exit 7']), annotations })
    assert.equal(await member.live(daemon, image), 7)
    return performance.now() - begin
  }
  /** Members of the pod live and die while `attack` goes on, which ends soon after `over` says so. */
  const during = async (
    t: { diagnostic(text: string): void },
    attack: (over: () => boolean) => Promise<void>,
    other: (id: string) => Promise<number> = live,
    mostMib = 8,
  ) => {
    const quietMs = await live('before')
    const early = { descriptors: descriptors(), kb: privateKb() }
    const end = performance.now() + FLOOD_MS
    const times: number[] = []
    let most = 0
    const attacking = attack(() => performance.now() > end)
    for (let i = 0; performance.now() < end; i++) {
      times.push(await other(`m${i}`))
      most = Math.max(most, privateKb())
    }
    await attacking
    times.sort((a, b) => a - b)
    const since = performance.now()
    const late = { descriptors: 0, kb: 0 }
    await until(
      'as before',
      () => {
        Object.assign(late, { descriptors: descriptors(), kb: privateKb() })
        return late.descriptors <= early.descriptors && late.kb <= early.kb + 256
      },
      60_000,
    ).catch(() => {})
    const middle = times[times.length >> 1] ?? 0
    t.diagnostic(
      JSON.stringify({
        quietMs,
        calmMs: performance.now() - since,
        lives: times.length,
        medianMs: middle,
        longestMs: times.at(-1),
        early,
        most,
        late,
      }),
    )
    assert.ok(late.descriptors <= early.descriptors)
    assert.ok(late.kb <= early.kb + 256)
    assert.ok(most < early.kb + mostMib * 1024)
    assert.ok((times.at(-1) ?? 0) < 20_000)
  }

  /** Writes as fast as it is read, until it is over. */
  const pour = async (client: Raw, over: () => boolean, frames: (stream: number) => Uint8Array) => {
    for (let stream = 1; !over() && !client.closed; stream += 2 * 100) {
      client.socket.write(Buffer.concat(Array.from({ length: 100 }, (_, i) => frames(stream + 2 * i))))
      while (client.socket.writableNeedDrain && !over() && !client.closed)
        await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await client.close()
  }

  /** Ten execs that print as fast as they can, until it is over. */
  const pourOut = async (over: () => boolean) => {
    const dir = mkdtempSync(join(tmpdir(), 'berth-flood-'))
    const spec = processOf(image.config(['/bin/sh', '-c', 'exec yes']), {})
    const execs = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const stdout = join(dir, `${i}`)
        execFileSync('mkfifo', [stdout])
        const reader =
          i % 2 === 0 ? spawn('/bin/cat', [stdout], { stdio: 'ignore' }) : new End(stdout, constants.O_RDONLY)
        const named = { id: 'pod', execId: `yes${i}` }
        await pod.call('Exec', v2.ExecRequest.encode({ ...named, spec, stdout }).finish())
        await pod.call('Start', v2.StartRequest.encode(named).finish())
        return { named, reader }
      }),
    )
    await until('it is over', over, 2 * FLOOD_MS)
    const end = async ({ named, reader }: (typeof execs)[number]) => {
      await pod.call('Kill', v2.KillRequest.encode({ ...named, signal: 9 }).finish())
      await pod.call('Wait', v2.WaitRequest.encode(named).finish())
      await pod.call('Delete', v2.DeleteRequest.encode(named).finish())
      if (reader instanceof End) reader[Symbol.dispose]()
      else if (reader.exitCode === null) await once(reader, 'exit')
    }
    await Promise.all(execs.map(end))
    rmSync(dir, { recursive: true })
  }

  const state = v2.StateRequest.encode({ id: 'pod' }).finish()
  const attacks: [
    name: string,
    attack: (over: () => boolean) => Promise<void>,
    other?: typeof live,
    mostMib?: number,
  ][] = [
    [
      'requests without end, and none of the answers taken',
      async (over) => {
        const client = await Raw.open(path)
        client.socket.pause()
        await pour(client, over, (stream) => requestFrame(stream, 'State', state))
      },
    ],
    [
      'requests without end, and all of the answers taken',
      async (over) => {
        const client = await Raw.open(path)
        client.socket.resume()
        await pour(client, over, (stream) => requestFrame(stream, 'State', state))
      },
    ],
    [
      'Waits without end',
      async (over) => {
        const client = await Raw.open(path)
        client.socket.resume()
        await pour(client, over, (stream) =>
          requestFrame(stream, 'Wait', v2.WaitRequest.encode({ id: 'pod' }).finish()),
        )
      },
    ],
    [
      'frames that are refused',
      async (over) => {
        const client = await Raw.open(path)
        client.socket.resume()
        await pour(client, over, (stream) => frameHeader(0, stream + 1))
      },
    ],
    [
      'the largest messages, by ten clients',
      async (over) => {
        const payload = new Uint8Array(MAX_PAYLOAD - 100)
        const one = async () => {
          const client = await Raw.open(path)
          client.socket.resume()
          for (let stream = 1; !over(); stream += 2) {
            client.socket.write(requestFrame(stream, 'Nonsense', payload))
            while (client.socket.writableNeedDrain && !over()) await new Promise((resolve) => setTimeout(resolve, 10))
          }
          await client.close()
        }
        await Promise.all(Array.from({ length: 10 }, one))
      },
      live,
      160,
    ],
    [
      'messages that are never ended, by hundreds',
      async (over) => {
        while (!over()) {
          const clients = await Promise.all(Array.from({ length: 200 }, () => Raw.open(path)))
          for (const { socket } of clients) {
            socket.write(frameHeader(MAX_PAYLOAD, 1))
            socket.write(new Uint8Array(MIB))
          }
          await until('all are read', () => clients.every(({ socket }) => socket.writableLength === 0), 60_000)
          await Promise.all(clients.map((client) => client.close()))
        }
      },
      live,
      160,
    ],
    ['outputs without end, half of them never read', pourOut],
    [
      'connections that ask and go',
      async (over) => {
        const wait = requestFrame(1, 'Wait', v2.WaitRequest.encode({ id: 'pod' }).finish())
        while (!over()) {
          // Where the backlog is full, connect(2) fails at once.
          const opened = await Promise.allSettled(Array.from({ length: 100 }, () => Raw.open(path)))
          for (const one of opened)
            if (one.status === 'fulfilled') one.value.socket.write(wait, () => one.value.socket.destroy())
            else assert.match(String(one.reason), /EAGAIN/)
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
      },
      // New connections are those that suffer: here it is one that is there.
      async () => {
        const begin = performance.now()
        await pod.call('State', state)
        return performance.now() - begin
      },
    ],
  ]
  for (const [name, attack, other, mostMib] of attacks)
    it(name, async (t) => {
      await during(t, attack, other, mostMib)
      assert.ok(controllerPids().length <= 2)
    })
})
