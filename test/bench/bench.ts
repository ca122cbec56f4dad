/**
 * Side by side, interleaved, in one run: create, start, delete by hand with runc, crun and berth; a task's life over the shims; and the kernel's own
 * time for the same (floor.c). Prints medians in milliseconds and ratios. Run with: make bench [N=50]
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Bundle } from '../harness/bundle.ts'
import { binary, root } from '../harness/host.ts'

const n = Number(process.env.N ?? 50)
const runtimes = Object.entries({ berth: binary, crun: '/usr/bin/crun', runc: '/usr/sbin/runc' }).filter(([, path]) =>
  existsSync(path),
)
const steps = ['create', 'state', 'start', 'kill', 'delete'] as const

// a version that older peers know, too
using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
  config.ociVersion = '1.0.2'
})
const times = new Map(runtimes.map(([name]) => [name, Object.fromEntries(steps.map((step) => [step, [] as number[]]))]))

function timed(path: string, args: readonly string[]): number {
  const begin = performance.now()
  const done = spawnSync(path, args, { stdio: ['ignore', 'ignore', 2] })
  if (done.status !== 0) throw new Error(`${path} ${args.join(' ')}: exit code ${done.status}`)
  return performance.now() - begin
}

for (let i = -3; i < n; i++)
  for (const [name, path] of runtimes) {
    const id = `bench-${process.pid}-${name}`
    const argv = {
      create: ['create', '--bundle', bundle.dir, id],
      state: ['state', id],
      start: ['start', id],
      kill: ['kill', id, 'KILL'],
      delete: ['delete', id],
    }
    for (const step of steps) {
      if (step === 'delete') while (!execFileSync(path, ['state', id], { encoding: 'utf8' }).includes('"stopped"'));
      const ms = timed(path, argv[step])
      if (i >= 0) times.get(name)?.[step]?.push(ms)
    }
  }

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const rows: Record<string, Record<string, string>> = {}
for (const [name] of runtimes) {
  const mine = times.get(name) ?? {}
  const medians = steps.map((step) => median(mine[step] ?? []))
  rows[name] = Object.fromEntries([
    ...steps.map((step, i) => [step, medians[i]?.toFixed(2) ?? '']),
    ['all', medians.reduce((a, b) => a + b, 0).toFixed(2)],
  ])
}
console.table(rows)

const floor = join(root, 'build/floor')
execFileSync('cc', ['-O2', '-static', '-o', floor, join(root, 'test/bench/floor.c')])
console.log('floor', execFileSync(floor, [join(bundle.dir, 'rootfs'), String(n)], { encoding: 'utf8' }).trim())
