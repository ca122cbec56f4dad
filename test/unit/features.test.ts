/** What `features` says, what the parser takes and what the compiler does are the same. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describeFeatures } from '../../src/cli/features.ts'
import { BerthError } from '../../src/errors.ts'
import { compileCreate } from '../../src/plan/create.ts'
import { parseMountOptions } from '../../src/plan/mount-options.ts'
import { compileSeccomp } from '../../src/plan/seccomp.ts'
import { stringifyJson } from '../../src/spec/json.ts'
import { loadSpec } from '../../src/spec/load.ts'
import type { Spec } from '../../src/spec/types.ts'
import { all, facts, input, inside, layout, one, plainSpec } from './plan-fixture.ts'

// biome-ignore lint/suspicious/noExplicitAny: what is optional in the specification is looked for
const features: any = describeFeatures()
const readSchema = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../spec-schemas/${name}.schema.json`, import.meta.url), 'utf8'))
// biome-ignore lint/suspicious/noExplicitAny: a JSON schema
const config: any = readSchema('config')
const { linux } = config.$defs

/** A configuration with this changed, through the parser. */
// biome-ignore lint/suspicious/noExplicitAny: a test changes any part of the document
const load = (change: (document: any) => void): Spec => {
  const document = JSON.parse(stringifyJson(plainSpec({ mounts: [] }), 0))
  delete document.hostname
  delete document.linux.resources
  change(document)
  return loadSpec(JSON.stringify(document)).spec
}

/** Whether this build does it; what the host of the fixture lacks is no matter here. */
const inThisBuild = (work: () => unknown): boolean => {
  try {
    work()
    return true
  } catch (error) {
    if (!(error instanceof BerthError) || error.kind !== 'unsupported') throw error
    return !/this build/.test(error.message)
  }
}

const compiles = (work: () => unknown): boolean => {
  try {
    work()
    return true
  } catch (error) {
    if (error instanceof BerthError && error.kind === 'unsupported') return false
    throw error
  }
}

const same = (said: readonly string[], taken: readonly string[]) =>
  assert.deepEqual([...said].sort(), [...taken].sort())

test('it is of the form that the specification gives', () => {
  const valid = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false }).compile(readSchema('features'))
  assert.ok(valid(JSON.parse(JSON.stringify(features))), JSON.stringify(valid.errors))
})

test('both versions are taken', () => {
  for (const version of [features.ociVersionMin, features.ociVersionMax])
    assert.equal(
      load((document) => {
        document.ociVersion = version
      }).ociVersion,
      version,
    )
})

test('hooks: those of the schema, and each is planned', () => {
  same(features.hooks, Object.keys(config.properties.hooks.properties))
  for (const kind of features.hooks) {
    const spec = load((document) => {
      document.hooks = { [kind]: [{ path: '/bin/hook' }] }
    })
    const compiled = compileCreate(input(spec))
    const plans = [compiled.create, inside(compiled.create), compiled.start, compiled.poststop]
    assert.equal(plans.flatMap((plan) => all(plan, 'hook')).length, 1, kind)
  }
})

/** Options that only take back another, and those that say what is so anyway. */
const TAKES_BACK: Readonly<Record<string, string>> = {
  async: 'sync',
  loud: 'silent',
  noiversion: 'iversion',
  nolazytime: 'lazytime',
  nomand: 'mand',
}
const NEUTRAL = ['defaults', 'norelatime', 'rnorelatime']

test('mount options: each is known, and does something', () => {
  const nothing = parseMountOptions([])
  for (const option of features.mountOptions) {
    const parsed = parseMountOptions([option])
    assert.equal(parsed.data, '', option)
    const other = TAKES_BACK[option]
    if (other !== undefined) {
      assert.notDeepEqual(parseMountOptions([other]), nothing, other)
      assert.deepEqual(parseMountOptions([other, option]), nothing, option)
    } else if (NEUTRAL.includes(option)) assert.deepEqual(parsed, nothing, option)
    else assert.notDeepEqual(parsed, nothing, option)
  }
})

test('mount options: none that is taken is left out', () => {
  const { idmap } = features.linux.mountExtensions
  const mount = { destination: '/x', type: 'bind', source: '/x' }
  for (const option of ['idmap', 'ridmap']) {
    const done = inThisBuild(() =>
      compileCreate(
        input(
          load((document) => {
            const map = [{ containerID: 0, hostID: 1000, size: 1 }]
            document.mounts = [{ ...mount, options: ['rbind', option], uidMappings: map, gidMappings: map }]
          }),
        ),
      ),
    )
    assert.equal(idmap.enabled, done, option)
    assert.equal(features.mountOptions.includes(option), done, option)
  }
})

test('namespaces: those of the schema, and each is made', () => {
  const { namespaces } = features.linux
  same(namespaces, linux.properties.namespaces.items.properties.type.enum)
  const flags = new Set<bigint>()
  for (const type of namespaces) {
    const spec = load((document) => {
      document.linux.namespaces = [{ type: 'mount' }, { type }].slice(type === 'mount' ? 1 : 0)
      const map = [{ containerID: 0, hostID: 0, size: 1 }]
      if (type === 'user') Object.assign(document.linux, { uidMappings: map, gidMappings: map })
    })
    const { create } = compileCreate(input(spec))
    const itself = all(inside(create), 'unshare').reduce((sum, op) => sum | op.flags, 0)
    flags.add(one(create, 'clone').flags | BigInt(itself))
  }
  assert.equal(flags.size, namespaces.length)
})

test('capabilities: each is given', () => {
  const { capabilities } = features.linux
  for (const [bit, name] of capabilities.entries()) {
    const spec = load((document) => {
      document.process.capabilities = { bounding: [name], permitted: [name], effective: [name] }
    })
    assert.equal(one(inside(compileCreate(input(spec)).create), 'caps').bounding, 1n << BigInt(bit), name)
  }
})

test('seccomp: what the schema takes is compiled or not said to be', () => {
  const { seccomp } = features.linux
  const ALLOW = { defaultAction: 'SCMP_ACT_ALLOW' }
  // biome-ignore lint/suspicious/noExplicitAny: parts of a profile
  const compiled = (profile: any) => {
    const spec = load((document) => {
      document.linux.seccomp = profile
    })
    return compileSeccomp(spec.linux?.seccomp ?? assert.fail(), { arch: 'x86_64' })
  }
  const programs = new Set<string>()
  const program = (profile: unknown) => {
    programs.add(Buffer.from(compiled(profile).program).toString('hex'))
  }
  for (const action of config.$defs.seccompAction.enum) {
    const profile = { ...ALLOW, listenerPath: '/s', syscalls: [{ names: ['getpid'], action }] }
    if (action === 'SCMP_ACT_ALLOW') continue
    assert.equal(
      seccomp.actions.includes(action),
      compiles(() => program(profile)),
      action,
    )
  }
  // KILL is KILL_THREAD.
  assert.equal(programs.size, seccomp.actions.length - 2)

  const schema = config.$defs.seccomp.properties
  const operators = schema.syscalls.items.properties.args.items.properties.op.enum
  same(seccomp.operators, operators)
  programs.clear()
  for (const op of operators) {
    const args = [{ index: 0, value: 3, valueTwo: 1, op }]
    program({ ...ALLOW, syscalls: [{ names: ['close'], action: 'SCMP_ACT_ERRNO', args }] })
  }
  assert.equal(programs.size, operators.length)

  for (const arch of schema.architectures.items.enum) {
    const { warnings } = compiled({ ...ALLOW, architectures: [arch] })
    assert.equal(seccomp.archs.includes(arch), !warnings.some((line) => line.includes('no table')), arch)
  }
  const flags = schema.flags.items.enum
  same(seccomp.knownFlags, flags)
  for (const flag of flags) {
    const notify = { listenerPath: '/s', syscalls: [{ names: ['getpid'], action: 'SCMP_ACT_NOTIFY' }] }
    const { flags: bits, warnings } = compiled({ ...ALLOW, ...notify, flags: [flag] })
    const without = compiled({ ...ALLOW, ...notify }).flags
    assert.equal(seccomp.supportedFlags.includes(flag), bits !== without, `${flag} ${warnings}`)
  }
})

test('what is said to be done is compiled', () => {
  const { cgroup, intelRdt, netDevices, memoryPolicy, apparmor, selinux } = features.linux
  const properties: Readonly<Record<string, readonly [said: boolean, value: unknown]>> = {
    intelRdt: [intelRdt.enabled, { closID: 'x' }],
    netDevices: [netDevices.enabled, { eth0: { name: 'eth1' } }],
    memoryPolicy: [memoryPolicy.modes.length > 0, { mode: 'MPOL_INTERLEAVE', nodes: '0' }],
  }
  for (const [property, [said, value]] of Object.entries(properties)) {
    const spec = load((document) => {
      document.linux[property] = value
    })
    assert.equal(
      said,
      inThisBuild(() => compileCreate(input(spec))),
      property,
    )
  }
  for (const [property, said] of [
    ['schemata', intelRdt.schemata ?? false],
    ['enableMonitoring', intelRdt.monitoring ?? false],
  ] as const) {
    const value = property === 'schemata' ? ['L3:0=f'] : true
    const spec = load((document) => {
      document.linux.intelRdt = { closID: 'x', [property]: value }
    })
    assert.equal(
      said,
      inThisBuild(() => compileCreate(input(spec))),
      property,
    )
  }
  same(memoryPolicy.modes, linux.properties.memoryPolicy.properties.mode.enum)
  same(memoryPolicy.flags, linux.properties.memoryPolicy.properties.flags.items.enum)
  for (const mode of ['hybrid', 'unified'] as const) {
    assert.equal(mode === 'hybrid' ? cgroup.v1 : cgroup.v2, true)
    compileCreate(
      input(
        load(() => {}),
        { facts: facts({ cgroup: layout(mode) }) },
      ),
    )
  }
  const rdma = load((document) => {
    document.linux.resources = { rdma: { mlx4_0: { hcaHandles: 2 } } }
  })
  const { create } = compileCreate(input(rdma, { facts: facts({ cgroup: layout('unified') }) }))
  assert.equal(
    cgroup.rdma,
    all(create, 'write').some(({ path }) => path.endsWith('/rdma.max')),
  )
  const inSlice = load((document) => {
    document.linux.cgroupsPath = 'system.slice:berth:x'
  })
  const systemd = inThisBuild(() =>
    compileCreate(input(inSlice, { systemdCgroup: true, facts: facts({ cgroup: layout('unified') }) })),
  )
  assert.equal(cgroup.systemd, systemd)
  for (const [property, said, lsm] of [
    ['apparmorProfile', apparmor.enabled, { apparmor: true }],
    ['selinuxLabel', selinux.enabled, { selinux: true }],
  ] as const) {
    const spec = load((document) => {
      document.process[property] = 'label'
    })
    const plan = inside(compileCreate(input(spec, { facts: facts(lsm) })).create)
    assert.equal(said, all(plan, 'lsm-exec').length === 1, property)
  }
})
