/**
 * Verdicts of our filters against those of libseccomp, as runc drives it, in an interpreter: for the profiles that engines use over every system
 * call, and for random ones. Exceptions, each on purpose:
 *
 * - Names that the installed libseccomp is too old to know.
 * - Numbers above the newest that the profile names: ENOSYS (runc puts that around libseccomp's program; src/plan/seccomp.ts).
 * - socketcall and ipc where the calls behind them have conditions (src/plan/seccomp/multiplex.ts): libseccomp lets those through.
 * - Several rules with conditions for one call, in random profiles only: libseccomp keeps them in a tree with shared nodes, and sometimes applies
 *   part of one rule to another (src/plan/seccomp/rules.ts). Ours then has to be what the rules say, one by one.
 */

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { type Abi, AUDIT_ARCH, X32_BIT } from '../../src/plan/seccomp/abis.ts'
import { compileSeccomp, interpret, type SeccompData } from '../../src/plan/seccomp.ts'
import type { Seccomp } from '../../src/spec/types.ts'
import { Libseccomp } from '../seccomp/libseccomp.ts'
import {
  abi,
  actionsFor,
  argumentsFor,
  conditionalRules,
  fixture,
  NAMES,
  newest,
  Random,
  randomProfile,
} from '../seccomp/profiles.ts'

const ABIS = [abi('SCMP_ARCH_X86_64'), abi('SCMP_ARCH_X86'), abi('SCMP_ARCH_X32')]

const foreign = process.arch === 'x64' ? false : 'libseccomp is asked for its own machine, and this is not an x86-64'
const found = foreign || Libseccomp.build()
const libseccomp = found instanceof Libseccomp ? found : undefined
const skip = libseccomp ? false : (found as string)
after(() => libseccomp?.close())

const describeCall = ({ nr, arch, args = [] }: SeccompData): string =>
  `call ${nr} of 0x${arch.toString(16)} with ${args.map((arg) => `0x${arg.toString(16)}`).join(', ')}`

/** The profile's verdicts on each call in question. */
function compareAll(profile: Seccomp, random: Random, rounds: number): number {
  const ours = compileSeccomp(profile, { arch: 'x86_64' }).program
  const theirs = libseccomp?.compile(profile)
  assert(theirs, 'libseccomp takes the profile')
  let compared = 0
  const compare = (data: SeccompData) => {
    assert.equal(interpret(ours, data), interpret(theirs.program, data), describeCall(data))
    compared++
  }
  for (const { base, audit, table, name } of ABIS) {
    const unknown = new Set([...theirs.unknown].map((call) => table().get(call)))
    const last = newest(profile, abi(name))
    for (let nr = 0; nr <= Math.min(560, last); nr++) {
      if (unknown.has(nr)) continue
      for (const args of argumentsFor(profile, random, rounds)) compare({ nr: base + nr, arch: audit, args })
    }
  }
  for (const arch of Object.values(AUDIT_ARCH)) compare({ nr: 0xffffffff, arch: arch === AUDIT_ARCH.i386 ? 0 : arch })
  for (const nr of [0, 1, 500, X32_BIT]) compare({ nr, arch: AUDIT_ARCH.aarch64 })
  return compared
}

describe("libseccomp's verdicts", { skip }, () => {
  for (const name of ['docker', 'podman'] as const) {
    test(`on the default profile of ${name}`, () => {
      assert(compareAll(fixture(name), new Random(1), 24) > 20_000)
    })

    test(`on the default profile of ${name}, x86-64 only`, () => {
      const profile: Seccomp = { ...fixture(name), architectures: ['SCMP_ARCH_X86_64'] }
      const ours = compileSeccomp(profile, { arch: 'x86_64' }).program
      const theirs = libseccomp?.compile(profile)
      assert(theirs)
      for (const nr of [0, 39, 56, X32_BIT, X32_BIT + 1, X32_BIT + 0x200, 0x80000000, 0xfffffffe, 0xffffffff]) {
        for (const arch of [...Object.values(AUDIT_ARCH), 0, 0xffffffff]) {
          // Between the newest number and x32 lies what runc answers with ENOSYS.
          if (arch === AUDIT_ARCH.x86_64 && nr === 500) continue
          const data = { nr, arch, args: [0n, 0n, 0n, 0n, 0n, 0n] }
          assert.equal(interpret(ours, data), interpret(theirs.program, data), describeCall(data))
        }
      }
    })
  }

  test('on random profiles', () => {
    const random = new Random(20_240_501)
    const tally = { profiles: 0, refused: 0, same: 0, shared: 0 }
    for (let i = 0; i < 250; i++) {
      const few = i % 2 === 0
      const profile = randomProfile(random, {
        maxArgs: 1 + (i % 4),
        names: few ? NAMES.slice(0, 2) : NAMES,
        actions:
          i % 3 === 0
            ? ['SCMP_ACT_ALLOW', 'SCMP_ACT_ERRNO']
            : [
                'SCMP_ACT_ALLOW',
                'SCMP_ACT_ERRNO',
                'SCMP_ACT_KILL_PROCESS',
                'SCMP_ACT_LOG',
                'SCMP_ACT_TRAP',
                'SCMP_ACT_TRACE',
              ],
      })
      const theirs = libseccomp?.compile(profile)
      let ours: Uint8Array
      try {
        ours = compileSeccomp(profile, { arch: 'x86_64' }).program
      } catch (error) {
        assert.match(String(error), /contradict each other/)
        assert.equal(theirs, undefined, 'libseccomp refuses it too')
        tally.refused++
        continue
      }
      // It finds more contradictions than there are, in nodes that rules share.
      if (theirs === undefined) {
        tally.refused++
        continue
      }
      tally.profiles++
      for (const entry of ABIS) {
        if (entry.base + entry.audit !== AUDIT_ARCH.x86_64 && !profile.architectures?.includes(entry.name)) continue
        compareCalls(profile, entry, random, ours, theirs.program, tally)
      }
    }
    assert(tally.profiles > 200 && tally.refused < 30, JSON.stringify(tally))
    assert(tally.same > 50_000 && tally.shared < tally.same / 100, JSON.stringify(tally))
  })

  function compareCalls(
    profile: Seccomp,
    entry: Abi,
    random: Random,
    ours: Uint8Array,
    theirs: Uint8Array,
    tally: { same: number; shared: number },
  ): void {
    const last = newest(profile, entry)
    for (const args of argumentsFor(profile, random, 24)) {
      for (const name of NAMES) {
        const nr = entry.table().get(name)
        if (nr === undefined || nr > last) continue
        const data = { nr: entry.base + nr, arch: entry.audit, args }
        const [a, b] = [interpret(ours, data), interpret(theirs, data)]
        if (a === b) {
          tally.same++
          continue
        }
        assert(conditionalRules(profile, name) > 1, describeCall(data))
        assert(actionsFor(profile, entry, name, args).has(a), describeCall(data))
        tally.shared++
      }
    }
  }
})
