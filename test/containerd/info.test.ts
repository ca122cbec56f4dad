/** What the shim says of itself: `-info`, and what containerd makes of it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import protobuf from 'protobufjs'
import { featuresText } from '../../src/cli/features.ts'
import { Containerd, noContainerd, noVersion, runtime } from '../harness/containerd.ts'
import { binary, dist, nothingLeft, shimBinary, snapshot } from '../harness/host.ts'

const RuntimeInfo = protobuf
  .parse(`syntax = "proto3";
    message Any { string type_url = 1; bytes value = 2; }
    message Version { string version = 1; string revision = 2; }
    message RuntimeInfo { string name = 1; Version version = 2; Any options = 3; Any features = 4; map<string, string> annotations = 5; }`)
  .root.lookupType('RuntimeInfo')

const FEATURES = 'types.containerd.io/opencontainers/runtime-spec/1/features/Features'
const info = (input: Buffer, program = shimBinary) =>
  RuntimeInfo.toObject(RuntimeInfo.decode(execFileSync(program, ['-info'], { input, env: {} })), { bytes: String })

describe('info', { skip: noContainerd }, () => {
  it('tells the features that `berth features` prints, and the options that it was given', () => {
    const { name, version, options, features } = info(Buffer.alloc(0))
    assert.equal(name, runtime)
    assert.deepEqual(Object.keys(version), ['version', 'revision'])
    assert.equal(options, undefined)
    assert.equal(features.typeUrl, FEATURES)
    const text = featuresText()
    assert.equal(Buffer.from(features.value, 'base64').toString(), text)
    assert.equal(execFileSync(binary, ['features'], { encoding: 'utf8' }), text)
    const any = { typeUrl: 'containerd.runc.v1.Options', value: Buffer.from([8, 1]) }
    const Any = RuntimeInfo.root.lookupType('Any')
    assert.deepEqual(info(Buffer.from(Any.encode(any).finish())).options, { ...any, value: 'CAE=' })
    assert.equal(info(Buffer.from('no message')).options, undefined)
  })

  it('needs no Node, and no features', () => {
    const dir = mkdtempSync(join(tmpdir(), 'berth-info-'))
    try {
      for (const name of ['bin', 'dist']) mkdirSync(join(dir, name))
      const program = join(dir, 'bin/containerd-shim-berth-v2')
      cpSync(binary, program)
      const { name, features } = info(Buffer.alloc(0), program)
      assert.equal(name, runtime)
      assert.equal(features, undefined)
      cpSync(join(dist, 'features.json'), join(dir, 'dist/features.json'))
      assert.ok(info(Buffer.alloc(0), program).features)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  for (const version of ['2.1', '2.3'] as const)
    describe(`containerd ${version}`, { skip: noVersion(version) }, () => {
      let containerd: Containerd
      let pristine: Set<string>
      before(async () => {
        pristine = snapshot()
        containerd = await Containerd.start(version)
      })
      after(async () => {
        await containerd?.[Symbol.asyncDispose]()
        await nothingLeft(pristine)
      })

      it('reads it', async () => {
        const { code, stdout, stderr } = await containerd.ctr(['plugins', 'inspect-runtime', `--runtime=${runtime}`])
        assert.equal(code, 0, stderr)
        const shown = JSON.parse(stdout)
        assert.equal(shown.Name, runtime)
        assert.equal(shown.Features.linux.mountExtensions.idmap.enabled, true)
        assert.ok(shown.Features.mountOptions.includes('rro'))
      })

      it('lets id-mapped mounts through because of it', async () => {
        const dir = mkdtempSync(join(tmpdir(), 'berth-volume-'))
        try {
          chmodSync(dir, 0o755)
          writeFileSync(join(dir, 'file'), '')
          const config = JSON.parse(
            execFileSync('sh', ['-c', `cd ${dir} && ${binary} spec && cat config.json`], { encoding: 'utf8' }),
          )
          config.process = { ...config.process, terminal: false, args: ['/bin/stat', '-c', '%u:%g', '/volume/file'] }
          const rootfs = join(dir, 'root')
          config.root = { path: rootfs }
          config.linux.cgroupsPath = '/berth-test-info'
          const ids = (hostID: number) => [{ containerID: 0, hostID, size: 1000 }]
          config.mounts.push({
            destination: '/volume',
            source: dir,
            type: 'bind',
            options: ['rbind'],
            uidMappings: ids(7000),
            gidMappings: ids(8000),
          })
          writeFileSync(join(dir, 'config.json'), JSON.stringify(config))
          mkdirSync(rootfs)
          execFileSync('sh', [
            '-c',
            `mkdir ${rootfs}/bin ${rootfs}/proc ${rootfs}/sys ${rootfs}/dev && cp /bin/busybox ${rootfs}/bin/stat`,
          ])
          const args = ['run', '--rm', '--runtime', runtime, '--config', join(dir, 'config.json'), 'info']
          const { code, stdout, stderr } = await containerd.ctr(args)
          assert.deepEqual({ code, stdout }, { code: 0, stdout: '7000:8000\n' }, stderr)
          assert.ok(!readFileSync(join(containerd.dir, 'log'), 'utf8').includes('idmap mounts not supported'))
        } finally {
          rmSync(dir, { recursive: true })
        }
      })
    })
})
