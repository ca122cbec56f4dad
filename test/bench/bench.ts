/**
 * Side by side, interleaved, in one run: every verb of the command line with runc, crun (this host's and the newest) and berth, and the kernel's own
 * time for the same. Writes docs/benchmarks.md. Run with: make bench [N=100]
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bundle } from '../harness/bundle.ts'
import { binary, root } from '../harness/host.ts'
import { type Floor, report, type Times } from './report.ts'

const BATCH = 20
const batches = Math.max(1, Math.round(Number(process.env.N ?? 100) / BATCH))

const build = join(root, 'build/bench')
mkdirSync(build, { recursive: true })
const program = (name: string): string => {
  execFileSync('cc', ['-O2', '-static', '-o', join(build, name), join(root, `test/bench/${name}.c`)])
  return join(build, name)
}

/** Debian's newest crun, where it can be had. */
const newestCrun = (): string => {
  try {
    const dirs = execFileSync(join(root, 'test/containerd/matrix'), ['newest', 'crun', join(build, 'crun')], {
      encoding: 'utf8',
    })
    return join(dirs.split('\n')[0] ?? '', 'crun')
  } catch {
    return ''
  }
}

const runtimes = Object.entries({
  berth: binary,
  crun: '/usr/bin/crun',
  'crun-newest': newestCrun(),
  runc: '/usr/sbin/runc',
}).filter(([, path]) => existsSync(path))

const verbs = program('verbs')
const floor = program('floor')
const times: Times = new Map(runtimes.map(([name]) => [name, new Map()]))
const floors: Floor[] = []

// a version that older peers know, too
using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
  config.ociVersion = '1.0.2'
})
const dir = mkdtempSync(join(tmpdir(), 'berth-bench-'))
try {
  for (let i = 0; i < batches; i++) {
    const lines = execFileSync(
      verbs,
      [bundle.dir, dir, String(BATCH), ...runtimes.map(([name, path]) => `${name}=${path}`)],
      { encoding: 'utf8' },
    )
    for (const line of lines.trim().split('\n')) {
      const [name = '', verb = '', ms] = line.split(' ')
      const byVerb = times.get(name)
      const values = byVerb?.get(verb) ?? []
      values.push(Number(ms))
      byVerb?.set(verb, values)
    }
    floors.push(JSON.parse(execFileSync(floor, [join(bundle.dir, 'rootfs'), String(BATCH)], { encoding: 'utf8' })))
  }
} finally {
  rmSync(dir, { recursive: true })
}

const versions = runtimes.map(
  ([name, path]) => `${name}: ${execFileSync(path, ['--version'], { encoding: 'utf8' }).split('\n')[0]}`,
)
const text = report(times, floors, versions)
console.log(text)
if (process.env.WRITE !== '0') writeFileSync(join(root, 'docs/benchmarks.md'), text)
