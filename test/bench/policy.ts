/** What network rules cost: connect() over the loopback under an allow list of 1,000 rules and under none, interleaved. */
import { execFileSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { Bundle } from '../harness/bundle.ts'
import { binary, root } from '../harness/host.ts'

const ROUNDS = 20_000
const RUNS = 11
const RULES = Array.from({ length: 999 }, (_, i) => `10.${i >> 4}.${(i & 15) * 16}.0/24:${1 + i}`)
const policies = { none: undefined, '1,000 rules': { allow: [...RULES, 'tcp://127.0.0.0/8'] } }

const program = join(root, 'build/connect')
execFileSync('cc', ['-O2', '-static', '-o', program, join(root, 'test/bench/connect.c')])
const times = new Map(Object.keys(policies).map((name) => [name, [] as number[]]))
for (let i = 0; i < RUNS; i++)
  for (const [name, network] of Object.entries(policies)) {
    using bundle = new Bundle(['/connect', '127.0.0.1', String(ROUNDS)], (config) => {
      if (network) config.annotations = { 'io.berth.policy.inline': JSON.stringify({ network }) }
    })
    cpSync(program, join(bundle.dir, 'rootfs/connect'))
    const out = execFileSync(binary, ['run', '--bundle', bundle.dir, `bench-${process.pid}`], { encoding: 'utf8' })
    times.get(name)?.push(Number(out))
  }
const median = (name: string) => times.get(name)?.toSorted((a, b) => a - b)[RUNS >> 1] ?? Number.NaN
const [none, rules] = [median('none'), median('1,000 rules')]
console.log(`connect(), ns: without rules ${none}, under 1,000 rules ${rules}: ${(rules / none).toFixed(3)}`)
