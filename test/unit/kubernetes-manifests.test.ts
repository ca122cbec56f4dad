/** deploy/kubernetes: the manifests against the types made from Kubernetes' own OpenAPI documents, and what has to agree between them. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { DaemonSet } from 'kubernetes-types/apps/v1.d.ts'
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import type { RuntimeClass } from 'kubernetes-types/node/v1.d.ts'
import { parse, parseAllDocuments } from 'yaml'
import { readWish } from '../../src/policy/annotations.ts'

const root = join(import.meta.dirname, '../..')
const dir = join(root, 'deploy/kubernetes')
const read = (name: string) => readFileSync(join(dir, name), 'utf8')

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
}
const documents = (text: string): Manifest[] =>
  parseAllDocuments(text, { strict: true, uniqueKeys: true }).map((document) => {
    assert.deepEqual(document.errors, [])
    return document.toJS()
  })
const of = <T>(name: string, kind: string): T => {
  const found = documents(read(name)).find((document) => document.kind === kind)
  assert.ok(found, `${name} has no ${kind}`)
  return found as T
}

/**
 * What the compiler says of each manifest as a literal of its type: a field that does not exist, is missing or has another type. One line
 * a manifest, so that the line of a diagnostic tells which.
 */
const diagnostics = (manifests: readonly Manifest[]): string[] => {
  const scratch = mkdtempSync(join(tmpdir(), 'berth-manifests-'))
  try {
    symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'))
    const lines = manifests.map((manifest, i) => {
      const [version, group = 'core'] = manifest.apiVersion.split('/').reverse()
      const type = `import('kubernetes-types/${group.split('.')[0]}/${version}').${manifest.kind}`
      return `export const m${i}: ${type} = ${JSON.stringify(manifest)}`
    })
    writeFileSync(join(scratch, 'all.ts'), lines.join('\n'))
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'esnext', '--moduleResolution', 'bundler']
    const tsc = join(root, 'node_modules/.bin/tsc')
    const { stdout } = spawnSync(tsc, [...options, '--ignoreConfig', '--pretty', 'false', 'all.ts'], {
      cwd: scratch,
      encoding: 'utf8',
    })
    return stdout.split('\n').filter((line) => /^\S/.test(line))
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

const files = globSync('**/*.yaml', { cwd: dir }).filter((name) => name !== 'kustomization.yaml')

describe("Kubernetes' manifests", () => {
  it('have the fields and types of the API', () => {
    assert.ok(files.length >= 4)
    assert.deepEqual(diagnostics(files.flatMap((name) => documents(read(name)))), [])
  })

  it('would be refused with a field that does not exist, is missing or has another type', () => {
    const installer = read('installer.yaml')
    const wrong = [
      installer.replace('readOnlyRootFilesystem', 'readOnlyRootFileSystem'),
      installer.replace('runAsUser: 0', 'runAsUser: "0"'),
      installer.replace('maxSurge: 1', 'maxSurge: [1]'),
      installer.replace('  selector:\n    matchLabels:\n', '  minReadySeconds: 1\n  selector2:\n    matchLabels:\n'),
    ]
    for (const text of wrong) assert.notEqual(text, installer)
    const said = diagnostics(wrong.flatMap((text) => documents(text).filter(({ kind }) => kind === 'DaemonSet')))
    assert.deepEqual(
      said.map((line) => /^all\.ts\((\d+)/.exec(line)?.[1]),
      ['1', '2', '3', '4'],
      said.join('\n'),
    )
  })

  const runtimeClass = of<RuntimeClass>('runtimeclass.yaml', 'RuntimeClass')
  const daemonSet = of<DaemonSet>('installer.yaml', 'DaemonSet')
  const template = daemonSet.spec?.template
  const pod = template?.spec
  const [container] = pod?.containers ?? []
  assert.ok(pod && container)
  const env = Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, value]))

  it('agree on names with the script and with each other', () => {
    const script = read('install.sh')
    assert.match(script, new RegExp(`containerd\\.runtimes\\.${runtimeClass.handler}\\]`))
    for (const name of Object.keys(env)) assert.match(script, new RegExp(`^#   ${name}=`, 'm'))
    assert.deepEqual(daemonSet.spec?.selector.matchLabels, {
      'app.kubernetes.io/name': template?.metadata?.labels?.['app.kubernetes.io/name'],
    })
    for (const [label, value] of Object.entries(runtimeClass.scheduling?.nodeSelector ?? {}))
      assert.equal(pod.nodeSelector?.[label], value)
    assert.ok(Number(env.DRAIN_SECONDS) < (pod.terminationGracePeriodSeconds ?? 30))
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    assert.equal(container.image?.split(':').at(-1), version)
    const kustomization = parse(read('kustomization.yaml'))
    assert.deepEqual(kustomization.images, [{ name: container.image?.split(':')[0], newTag: version }])
    assert.deepEqual(kustomization.resources.toSorted(), files.filter((name) => !name.includes('/')).toSorted())
  })

  it('give the installer no more than it needs', () => {
    for (const shared of ['hostPID', 'hostIPC', 'hostNetwork', 'shareProcessNamespace'] as const)
      assert.equal(pod[shared], undefined)
    assert.equal(pod.automountServiceAccountToken, false)
    assert.equal(pod.initContainers, undefined)
    const { privileged, allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities } =
      container.securityContext ?? {}
    assert.deepEqual(
      { privileged, allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities },
      {
        privileged: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      },
    )
    const mounts = (container.volumeMounts ?? []).map(({ name, mountPath, readOnly = false }) => {
      const volume = pod.volumes?.find((one) => one.name === name)
      return `${volume?.hostPath?.path} at ${mountPath}${readOnly ? ', read-only' : ''}`
    })
    assert.deepEqual(mounts, [
      '/opt/berth at /host/opt/berth',
      '/opt/containerd/bin at /host/opt/containerd/bin',
      '/etc/containerd at /host/etc/containerd',
      '/run/berth at /host/run/berth, read-only',
      '/run/systemd/private at /run/systemd/private',
      '/run/systemd/system at /run/systemd/system, read-only',
    ])
    assert.equal(pod.volumes?.length, mounts.length)
  })

  for (const name of files.filter((name) => name.startsWith('examples/')))
    it(`${name} runs with berth, with annotations that it knows`, () => {
      const example = of<Pod>(name, 'Pod')
      assert.equal(example.spec?.runtimeClassName, runtimeClass.metadata?.name)
      readWish(example.metadata?.annotations ?? {})
    })

  it('can be put together by kustomize', { skip: spawnSync('kubectl').error && 'needs kubectl' }, () => {
    const out = execFileSync('kubectl', ['kustomize', dir], { encoding: 'utf8' })
    assert.deepEqual(
      documents(out)
        .map(({ kind }) => kind)
        .toSorted(),
      ['DaemonSet', 'Namespace', 'NetworkPolicy', 'RuntimeClass', 'ServiceAccount'],
    )
  })
})
