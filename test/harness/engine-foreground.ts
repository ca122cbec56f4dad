/** Containers of an engine that run in the foreground: output and exit code. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Both } from './engine.ts'
import { terminal } from './run.ts'

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
  '--cpus': {
    options: ['--cpus', '0.5'],
    command: shell('cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max'),
  },
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

/** Until it holds, or does not hold so many times. */
const within = async (tries: number, what: () => Promise<void>): Promise<void> => {
  try {
    await what()
  } catch (error) {
    if (tries <= 1 || !(error instanceof assert.AssertionError)) throw error
    await within(tries - 1, what)
  }
}

export const foregroundTests = (both: Both, tries: number): void => {
  for (const [name, { options = [], command, input = '', codeOnly = false, code }] of Object.entries(FOREGROUND))
    it(name, async () => {
      const compare = () =>
        both(async ({ cli, image, options: common }) => {
          const done = await cli(['run', '--rm', ...common, ...options, image, ...command], { input })
          if (code !== undefined) assert.equal(done.code, code, done.stderr)
          return codeOnly ? { code: done.code } : { ...done, stderr: done.stderr.replace(/[0-9a-f]{64}/g, 'ID') }
        })
      await within(tries, compare)
    })

  it('a terminal', async () => {
    await both(async ({ client, options, image }) => {
      const script = 'stty size >/dev/null; tty; test -t 0 && test -t 1 && test -t 2; echo $?'
      const done = await terminal([...client, 'run', '--rm', '-it', ...options, image, ...shell(script)])
      return { ...done, stdout: done.stdout.replace(/^.*stty.*\n/, '') }
    })
  })
}
