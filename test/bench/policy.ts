/**
 * What policies cost the calls that they judge, and `create`; writes its section of docs/benchmarks.md. Part of: make bench
 * RUNS (15) of each program under each policy, LIVES (100) with and without; WRITE=0 only prints.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { planLandlock } from '../../src/plan/landlock.ts'
import type { Policy } from '../../src/policy/types.ts'
import { Bundle, type Config } from '../harness/bundle.ts'
import { binary, root } from '../harness/host.ts'
import { shuffled } from './order.ts'
import { program } from './programs.ts'
import { BENCHMARKS, policySection, withSection } from './report.ts'
import { Samples } from './samples.ts'

const number = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise)
const runs = number('RUNS', 15)
const lives = number('LIVES', 100)

const [CONNECTS, OPENS, GETPIDS] = [10_000, 500_000, 5_000_000]
const NETWORK = [
  ...Array.from({ length: 999 }, (_, i) => `10.${i >> 4}.${(i & 15) * 16}.0/24:${1 + i}`),
  'tcp://127.0.0.0/8',
]
const FILE = '/data/a/b/c/file'
const FILES = { execute: ['/bin'], read: ['/etc', '/data', '/proc'], write: ['/tmp', '/dev'] }

/** Of every kind of rule some, but for requests, whose proxy is a process that has to boot. */
const FULL: Policy = {
  files: { ...FILES, deny: ['/etc/group'] },
  network: { allow: NETWORK.slice(-20), allowBind: ['8000-8999'] },
  tcp: { connect: [80, 443], bind: [] },
  scopes: { abstractSockets: true, signals: true },
  syscalls: {
    deny: ['@default'],
    rules: [{ names: ['ioctl'], args: [{ index: 1, op: 'SCMP_CMP_EQ', value: 21522 }] }],
  },
  limits: { memory: 256 << 20, processes: 64, openFiles: 1024, cpus: 1 },
}

const dockers = JSON.parse(readFileSync(join(root, 'test/fixtures/docker-seccomp.json'), 'utf8'))
const open = program('open')
const abi = Number(execFileSync(open, { encoding: 'utf8' }))
/** The ruleset that berth makes of FILES, as open.c takes it. */
const own = planLandlock({ policies: [{ files: FILES }], landlock: abi }, 0, false).make.flatMap((op) =>
  op.op === 'landlock' ? [String(op.fs), ...op.paths.flatMap((path, i) => [String(op.rights[i]), path])] : [],
)

interface Subject {
  readonly name: string
  readonly what: string
  readonly args: readonly (string | number)[]
  readonly policy?: Policy
  readonly seccomp?: Config
}
const connect = { what: 'connect', args: ['/bin/connect', '127.0.0.1', CONNECTS] }
const opens = { what: 'open + close', args: ['/bin/open', OPENS, FILE] }
const getpid = { what: 'getpid', args: ['/bin/getpid', GETPIDS] }
const subjects: readonly Subject[] = [
  { ...connect, name: 'nothing' },
  { ...opens, name: 'nothing' },
  { ...getpid, name: 'nothing' },
  { ...connect, name: '1,000 network rules', policy: { network: { allow: NETWORK } } },
  { ...opens, name: 'files.deny', policy: { files: { deny: ['/etc/group'] } } },
  { ...opens, name: 'file lists', policy: { files: FILES } },
  { ...opens, name: 'the same, by the program itself', args: [...opens.args, ...own] },
  { ...getpid, name: "Docker's seccomp profile", seccomp: dockers },
  { ...getpid, name: 'a filter of one instruction', args: [...getpid.args, 'filtered'] },
]

const policed = (config: Config, policy: Policy | undefined): void => {
  if (policy) config.annotations = { 'io.berth.policy.inline': JSON.stringify(policy) }
}

class Site implements Disposable {
  readonly subject: Subject
  readonly #bundle: Bundle
  constructor(subject: Subject) {
    this.subject = subject
    this.#bundle = new Bundle(subject.args.map(String), (config) => {
      policed(config, subject.policy)
      config.linux.seccomp = subject.seccomp
    })
    const rootfs = join(this.#bundle.dir, 'rootfs')
    for (const name of ['connect', 'open', 'getpid']) cpSync(program(name), join(rootfs, 'bin', name))
    mkdirSync(dirname(join(rootfs, FILE)), { recursive: true })
    writeFileSync(join(rootfs, FILE), '')
  }
  /** What the program prints: nanoseconds. */
  run(): number {
    const args = ['run', '--bundle', this.#bundle.dir, `bench-${process.pid}`]
    return Number(execFileSync(binary, args, { encoding: 'utf8' }))
  }
  [Symbol.dispose](): void {
    this.#bundle[Symbol.dispose]()
  }
}

const measureCalls = (): Samples => {
  const times = new Samples(subjects.map(({ name }) => name))
  using stack = new DisposableStack()
  const sites = subjects.map((subject) => stack.use(new Site(subject)))
  for (let i = 0; i < runs; i++)
    for (const site of shuffled(sites)) times.add(site.subject.name, site.subject.what, site.run())
  return times
}

const measureCreates = (): Samples => {
  const BATCH = 5
  const verbs = program('verbs')
  const dir = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  try {
    using stack = new DisposableStack()
    const bundles = Object.entries({
      empty: {},
      full: FULL,
      'full-1000': { ...FULL, network: { allow: NETWORK } },
    }).map(
      ([name, policy]) =>
        [name, stack.use(new Bundle(['/bin/sleep', '1000'], (config) => policed(config, policy)))] as const,
    )
    const times = new Samples(bundles.map(([name]) => name))
    for (let done = 0; done < lives; done += BATCH)
      for (const [name, bundle] of shuffled(bundles))
        times.addLines(
          execFileSync(verbs, ['life', bundle.dir, dir, String(BATCH), `${name}=${binary}`], { encoding: 'utf8' }),
        )
    return times
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const section = policySection({ calls: measureCalls(), creates: measureCreates() })
console.log(section)
if (process.env.WRITE !== '0') writeFileSync(BENCHMARKS, withSection(readFileSync(BENCHMARKS, 'utf8'), section))
