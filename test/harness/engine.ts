/**
 * What users of Docker and podman do with a container, told once for both: each scenario runs with runc and with berth, and what a
 * user sees has to be the same.
 */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { until } from './host.ts'
import { type Finished, type RunOptions, run } from './run.ts'

/** An engine told to use one runtime. */
export interface Engine {
  readonly cli: (args: readonly string[], options?: RunOptions) => Promise<Finished>
  /** The client's words, for a terminal around it. */
  readonly client: readonly string[]
  readonly image: string
  /** What `run` is told beside. */
  readonly options: readonly string[]
}

interface Scenario {
  readonly options?: readonly string[]
  readonly command: readonly string[]
  readonly input?: string
  /** The exit code, where both could fail in the same way. */
  readonly code?: number
  /** The exit code alone is to be the same (each runtime has its own words for an error). */
  readonly codeOnly?: boolean
}

const shell = (script: string) => ['/bin/sh', '-c', script]

/** A profile that refuses one thing. */
const profile = new URL('../fixtures/no-mkdir-seccomp.json', import.meta.url).pathname

/** Run in the foreground: output and exit code. */
const FOREGROUND: Readonly<Record<string, Scenario>> = {
  'output and exit code': { command: shell('echo out; echo err >&2; exit 3') },
  'standard input': { options: ['-i'], command: ['/bin/cat'], input: 'one\ntwo\n' },
  'a signal that ends the process': { command: shell('sh -c "kill -9 \\$\\$"') },
  'a program that is missing': { command: ['/nope'], codeOnly: true },
  'a program that can not be executed': { command: ['/etc/passwd'], codeOnly: true },
  'a working directory that is missing': { options: ['-w', '/made/here'], command: ['/bin/pwd'] },
  '--read-only': { options: ['--read-only'], command: shell('touch /x; touch /dev/x; touch /etc/hostname') },
  '--read-only with --tmpfs': {
    options: ['--read-only', '--tmpfs', '/t:size=1m'],
    command: shell('touch /t/x; df /t | tail -1'),
  },
  '--cap-drop': { options: ['--cap-drop', 'ALL'], command: ['/bin/grep', 'Cap', '/proc/self/status'] },
  '--cap-add': { options: ['--cap-add', 'NET_ADMIN'], command: ['/bin/grep', 'Cap', '/proc/self/status'] },
  'a user by name': {
    options: ['--user', 'u', '--cap-drop', 'CHOWN'],
    command: shell('id; grep Cap /proc/self/status'),
  },
  '--group-add': { options: ['--user', '12', '--group-add', '34'], command: ['/bin/id'] },
  '--env, --hostname': {
    options: ['--env', 'A=b c', '--hostname', 'there'],
    command: shell('echo $A $(hostname) $HOME'),
  },
  'the default seccomp profile': { command: ['/bin/grep', '-E', 'Seccomp:|NoNewPrivs', '/proc/self/status'] },
  '--security-opt seccomp=unconfined': {
    options: ['--security-opt', 'seccomp=unconfined'],
    command: ['/bin/grep', 'Seccomp:', '/proc/self/status'],
  },
  '--security-opt seccomp=FILE': {
    options: ['--security-opt', `seccomp=${profile}`],
    command: shell('mkdir /tmp/d; echo $?; grep Seccomp: /proc/self/status'),
  },
  '--security-opt no-new-privileges': {
    options: ['--security-opt', 'no-new-privileges'],
    command: ['/bin/grep', 'NoNewPrivs', '/proc/self/status'],
  },
  'a volume': {
    options: ['--tmpfs', '/v', '-v', '/etc/hosts:/v/hosts:ro'],
    command: shell('wc -c </v/hosts; echo x >>/v/hosts'),
  },
  'the mounts': { command: shell("cut -d' ' -f2-3 /proc/mounts | grep -v '^/ ' | sort") },
  'the devices': { command: shell("ls -l /dev | awk '{print $1, $3, $4, $5, $6, $NF}' | grep -v total") },
  'masked and read-only paths': {
    command: shell('cat /proc/kcore | wc -c; echo 1 >/proc/sys/kernel/panic; ls /proc/scsi /sys/firmware'),
  },
  '--privileged': {
    options: ['--privileged'],
    command: shell('grep Seccomp: /proc/self/status; touch /proc/sys/kernel/panic && echo ok'),
  },
  '--init': { options: ['--init'], command: shell('test $$ != 1 && exit 4'), code: 4 },
  '--ulimit': { options: ['--ulimit', 'nofile=77:88'], command: shell('ulimit -n; ulimit -Hn') },
  '--sysctl': {
    options: ['--sysctl', 'net.ipv4.ip_default_ttl=77'],
    command: ['/bin/cat', '/proc/sys/net/ipv4/ip_default_ttl'],
  },
  '--shm-size': { options: ['--shm-size', '3m'], command: shell("df /dev/shm | awk 'NR==2{print $2}'") },
  '--pids-limit': {
    options: ['--pids-limit', '33'],
    command: shell('cat /sys/fs/cgroup/pids/pids.max || cat /sys/fs/cgroup/pids.max'),
  },
  '--userns host': { options: ['--userns', 'host'], command: ['/bin/cat', '/proc/self/uid_map'] },
  '--pid host': { options: ['--pid', 'host'], command: shell('test $$ != 1 && echo theirs') },
  '--memory with an OOM kill': {
    options: ['--memory', '16m', '--memory-swap', '16m'],
    command: shell('tail /dev/zero'),
    codeOnly: true,
  },
}

const terminal = (engine: Engine, args: readonly string[]): Promise<Finished> =>
  run('/usr/bin/script', ['-qec', [...engine.client, ...args].map((word) => `'${word}'`).join(' '), '/dev/null'], {
    endWhen: () => false,
  })

/** The tests of an engine; call it inside of a `describe`. */
export const engineTests = (engineOf: (runtime: 'runc' | 'berth') => Engine): void => {
  const both = async (what: (engine: Engine, name: string) => Promise<unknown>) => {
    const theirs = await what(engineOf('runc'), 'runc')
    assert.deepEqual(await what(engineOf('berth'), 'berth'), theirs)
  }
  for (const [name, { options = [], command, input = '', codeOnly = false, code }] of Object.entries(FOREGROUND))
    it(name, async () => {
      await both(async ({ cli, image, options: common }) => {
        const done = await cli(['run', '--rm', ...common, ...options, image, ...command], { input })
        if (code !== undefined) assert.equal(done.code, code, done.stderr)
        return codeOnly ? { code: done.code } : { ...done, stderr: done.stderr.replace(/[0-9a-f]{64}/g, 'ID') }
      })
    })

  it('a terminal', async () => {
    await both(async (engine) => {
      const command = ['stty size >/dev/null; tty; test -t 0 && test -t 1 && test -t 2; echo $?']
      const done = await terminal(engine, [
        'run',
        '--rm',
        '-it',
        ...engine.options,
        engine.image,
        '/bin/sh',
        '-c',
        ...command,
      ])
      return { ...done, stdout: done.stdout.replace(/^.*stty.*\n/, '') }
    })
  })

  it('a life in the background: exec, logs, pause, update, top, stats, stop', async () => {
    await both(async (engine, name) => {
      const { cli, image, options } = engine
      const id = `life-${name}`
      const seen: unknown[] = []
      const say = async (...args: string[]) => {
        const done = await cli(args)
        // the client warns of what the host lacks for networks, in one of the two runs only
        seen.push({
          ...done,
          stdout: done.stdout
            .replace(/[0-9a-f]{64}/g, 'ID')
            .replaceAll(id, 'ID')
            .replace(/^IPv4 forwarding.*\n/m, ''),
        })
        return done
      }
      const script = 'trap "echo bye; exit 9" TERM; echo up; while :; do sleep 0.1; done'
      const started = await cli([
        'run',
        '-d',
        '--name',
        id,
        '--memory',
        '64m',
        ...options,
        image,
        '/bin/sh',
        '-c',
        script,
      ])
      assert.equal(started.code, 0, started.stderr)
      await until('up', async () => (await cli(['logs', id])).stdout === 'up\n')
      await say('exec', id, '/bin/echo', 'inside')
      await say('exec', '-e', 'X=1', '-w', '/tmp', '-u', '1000', id, '/bin/sh', '-c', 'echo $X; pwd; id -u; exit 5')
      seen.push((await cli(['exec', id, '/nope'])).code)
      seen.push((await terminal(engine, ['exec', '-it', id, '/bin/sh', '-c', 'tty; exit 6'])).code)
      await say('pause', id)
      await say('inspect', '-f', '{{.State.Status}} {{.State.Paused}}', id)
      await say('unpause', id)
      await say('update', '--memory', '32m', '--memory-swap', '64m', id)
      await say(
        'exec',
        id,
        '/bin/sh',
        '-c',
        'cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max',
      )
      seen.push((await cli(['top', id])).stdout.split('\n').length > 1)
      seen.push(/ID|CPU/.test((await cli(['stats', '--no-stream', id])).stdout))
      await say('stop', '-t', '10', id)
      await say('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', id)
      await say('logs', id)
      await say('start', id)
      await say('kill', id)
      await say('rm', '-f', id)
      return seen
    })
  })

  it('an OOM kill is told as one', async () => {
    await both(async (engine, name) => {
      const { cli, image, options } = engine
      const id = `oom-${name}`
      const limits = ['--memory', '16m', '--memory-swap', '16m']
      await cli(['run', '--name', id, ...limits, ...options, image, '/bin/tail', '/dev/zero'])
      const told = await cli(['inspect', '-f', '{{.State.OOMKilled}} {{.State.ExitCode}}', id])
      await cli(['rm', '-f', id])
      return told
    })
  })

  it('a health check', async () => {
    await both(async (engine, name) => {
      const { cli, image, options } = engine
      const id = `health-${name}`
      const check = ['--health-cmd', 'test -f /tmp/well', '--health-interval', '1s', '--health-retries', '1']
      await cli([
        'run',
        '-d',
        '--name',
        id,
        ...check,
        ...options,
        image,
        '/bin/sh',
        '-c',
        'touch /tmp/well; sleep 1000',
      ])
      const status = async () => {
        await cli(['healthcheck', 'run', id])
        return (await cli(['inspect', '-f', '{{.State.Health.Status}}', id])).stdout
      }
      await until('healthy', async () => (await status()) === 'healthy\n', 20_000)
      await cli(['rm', '-f', '-t', '0', id])
    })
  })
}
