/** containerd restarts under twenty tasks, after it was stopped or killed: what it finds again, and what it hears of meanwhile. */
import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { Containerd, image, noVersion, runtime, type Version } from './containerd.ts'
import { hasEnded, nothingLeft, snapshot, until } from './host.ts'
import type { RunOptions } from './run.ts'

/** Ends with 5 at SIGTERM. */
const SCRIPT = 'trap "exit 5" TERM; while read line; do echo "got $line"; done'
const STOPPED = 'exit 3'

const named = (kind: string, count: number) => Array.from({ length: count }, (_, i) => `${kind}-${i}`)
const running = named('running', 10)
const stopped = named('stopped', 4)
const paused = named('paused', 4)
const ending = named('ending', 2)
const ours = [...running, ...stopped, ...paused, ...ending]
/** A task of each kind with runc, which is what a restart has to look like. */
const theirs = ['running', 'stopped', 'paused', 'ending'].map((kind) => `runc-${kind}`)
const all = [...ours, ...theirs]
const of = (kind: string) => all.filter((id) => id.includes(kind))

const TOPICS = ['create', 'start', 'exit', 'delete', 'paused', 'exec-started'] as const
type Tally = Record<(typeof TOPICS)[number], number>

export const restartTests = (version: Version, signals: readonly ('SIGTERM' | 'SIGKILL')[]): void => {
  describe(`restart of containerd ${version}`, { skip: noVersion(version) }, () => {
    let containerd: Containerd
    let pristine: Set<string>
    /** `ctr`, in a namespace of their own for tasks of runc. */
    const ctr = async (args: readonly string[], { id = '', ...options }: RunOptions & { id?: string } = {}) => {
      const done = await containerd.ctr(['-n', theirs.includes(id) ? 'theirs' : 'default', ...args], options)
      assert.equal(done.code, 0, `ctr ${args.join(' ')}: ${done.stderr}`)
      return done
    }
    const about = (id: string, ...args: readonly string[]) => ctr([...args, id], { id })
    const tasks = async () => {
      const lists = await Promise.all(['', ...theirs.slice(0, 1)].map((id) => ctr(['task', 'ls'], { id })))
      const lines = lists.flatMap(({ stdout }) => stdout.trim().split('\n').slice(1))
      return new Map(lines.map((line) => line.split(/\s+/)).map(([id = '', pid, status]) => [id, { pid, status }]))
    }
    const statuses = async (ids: readonly string[]) => {
      const found = await tasks()
      return ids.map((id) => found.get(id)?.status ?? 'gone')
    }
    /** Events that containerd got of our tasks so far, by its log. */
    const tally = (): Tally => {
      const lines = containerd.log.split('\n').filter((line) => /"event forwarded" ns=default /.test(line))
      const count = (topic: string) => lines.filter((line) => line.includes(` topic=/tasks/${topic} `)).length
      return Object.fromEntries(TOPICS.map((topic) => [topic, count(topic)])) as Tally
    }
    /** With a FIFO for each stream. Its input stays open: at the end of that ctr would close the task's. */
    const run = (id: string, script: string) => {
      const chosen = theirs.includes(id) ? [] : ['--runtime', runtime]
      return ctr(['run', '-d', ...chosen, image, id, '/bin/sh', '-c', script], { id, endWhen: () => false })
    }
    const pids = async (id: string) => (await about(id, 'task', 'ps')).stdout

    before(async () => {
      containerd = await Containerd.start(version, { log: 'trace' })
      const [reference = ''] = theirs
      await ctr(['images', 'import', `${process.env.MATRIX_CACHE ?? '/var/tmp/berth-matrix'}/bb.tar`], {
        id: reference,
      })
    })
    after(async () => {
      await containerd?.[Symbol.asyncDispose]()
    })
    beforeEach(() => {
      pristine = snapshot()
    })
    afterEach(async () => {
      const remove = async (id: string) => {
        await about(id, 'task', 'rm', '-f').catch(() => undefined)
        await about(id, 'container', 'rm')
      }
      await Promise.all(all.map(remove))
      await nothingLeft(pristine, /^cgroup .*\/theirs$/)
    })

    for (const signal of signals)
      it(`after ${signal}`, async () => {
        const first = tally()
        const since = () => {
          const now = tally()
          return Object.fromEntries(TOPICS.map((topic) => [topic, now[topic] - first[topic]])) as Tally
        }
        await Promise.all(all.map((id) => run(id, of('stopped').includes(id) ? STOPPED : SCRIPT)))
        const toStop = of('stopped')
        await until('some stopped', async () => (await statuses(toStop)).every((status) => status === 'STOPPED'))
        const withExec = running.slice(0, 3)
        for (const id of withExec) await ctr(['task', 'exec', '-d', '--exec-id', 'side', id, '/bin/sleep', '1000'])
        for (const id of of('paused')) await about(id, 'task', 'pause')
        const told: Tally = {
          create: ours.length,
          start: ours.length,
          exit: stopped.length,
          delete: 0,
          paused: paused.length,
          'exec-started': withExec.length,
        }
        await until('all events', () => since().paused === paused.length)
        assert.deepEqual(since(), told)

        const before = await tasks()
        await containerd.end(signal)
        const last = of('ending').map((id) => Number(before.get(id)?.pid))
        for (const pid of last) process.kill(pid, 'SIGTERM')
        await until('their ends', () => last.every(hasEnded))
        await containerd.restart()

        // Found again; what lives is the same process. From 1.7 on containerd takes a task without a pid for a leftover, and removes it as it
        // starts: runc's have none once they have ended.
        const again = await tasks()
        for (const id of [...running, ...paused]) assert.deepEqual(again.get(id), before.get(id), id)
        const gone = version === '1.6' ? 'STOPPED' : 'gone'
        assert.deepEqual(await statuses(theirs), ['RUNNING', gone, 'PAUSED', gone])
        for (const id of [...stopped, ...ending]) assert.equal(again.get(id)?.status, 'STOPPED', id)

        // An exit of meanwhile is told once.
        const expected = { ...told, exit: stopped.length + ending.length, delete: 0 }
        await until('the ends', () => since().exit >= expected.exit).catch(() => undefined)
        assert.deepEqual(since(), expected)
        for (const id of [...stopped, ...ending])
          assert.match((await about(id, 'task', 'rm')).stderr, id.startsWith('stopped') ? /code 3"/ : /code 5"/, id)

        // Streams; Wait; an exec of before, and a new one.
        const [talker = '', ...rest] = running
        let asked = false
        const talked = await containerd.ctr(['task', 'attach', talker], {
          input: 'hello\n',
          endWhen: (out) => {
            if (!asked && out === 'got hello\n') void about(talker, 'task', 'kill')
            asked ||= out !== ''
            return false
          },
        })
        assert.deepEqual([talked.stdout, talked.code], ['got hello\n', 5])
        const [, one = ''] = withExec
        assert.match(await pids(one), /side/)
        await about(one, 'task', 'kill', '-s', 'KILL', '--exec-id', 'side')
        await until('the end of the exec', async () => !/side/.test(await pids(one)))
        // The last of them is killed as it is, in the end.
        const resumed = paused.slice(0, -1)
        for (const id of resumed) await about(id, 'task', 'resume')
        const alive = [...rest, ...resumed]
        assert.deepEqual(
          await statuses(alive),
          alive.map(() => 'RUNNING'),
        )
        const said = await ctr(['task', 'exec', '--exec-id', 'new', paused[0] ?? '', '/bin/echo', 'in'])
        assert.equal(said.stdout, 'in\n')
      })
  })
}
