/** The start call: what containerd 2.3 says on standard input, and what every version reads on standard output. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import protobuf from 'protobufjs'
import { notHere } from '../harness/bundle.ts'
import { monitorPids, shimBinary, until } from '../harness/host.ts'
import { Task } from '../harness/life.ts'
import { stage } from '../harness/stage.ts'

const { root } = protobuf.parse(`syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Extension { Any value = 1; }
  message Params { string instance_id = 1; string namespace = 2; int32 log_level = 3; string containerd_version = 4;
    string ttrpc = 5; string grpc = 6; string binary = 7; repeated Extension extensions = 8; string socket_dir = 9; }`)
const encode = (type: string, message: object): Uint8Array => root.lookupType(type).encode(message).finish()

describe('start', { skip: notHere }, () => {
  const on = stage()

  const options = { typeUrl: 'containerd.runc.v1.Options', value: Buffer.from([8, 1]) }
  const params = (id: string, more: object) =>
    encode('Params', {
      instanceId: id,
      namespace: on.daemon.namespace,
      // DEBUG
      logLevel: -4,
      containerdVersion: '2.3.4',
      ttrpc: `${on.daemon.address}.ttrpc`,
      grpc: on.daemon.address,
      binary: '/usr/bin/containerd',
      extensions: [{ value: options }],
      ...more,
    })

  it('takes the addresses of the message of 2.3, and its directory for sockets', async () => {
    const socketDir = join(on.daemon.dir, 'deep/sockets')
    on.daemon.events = '/nowhere'
    const task = await Task.start(on.daemon, 'new', on.program(['/bin/true']), params('new', { socketDir }))
    const [name = ''] = readdirSync(socketDir).filter((file) => /^[0-9a-f]{64}$/.test(file))
    assert.equal(readFileSync(join(task.bundle, 'address'), 'utf8'), `unix://${socketDir}/${name}`)
    assert.equal(statSync(socketDir).mode & 0o777, 0o700)
    assert.equal(await task.live(on.daemon, on.image), 0)
    await until('the last event', () => on.events.topics.at(-1) === '/tasks/delete')
    assert.ok(!existsSync(join(socketDir, name)))
  })

  it('its delete call removes the socket of a shim that died, there too', async () => {
    const socketDir = join(on.daemon.dir, 'sockets')
    const task = await Task.start(on.daemon, 'dead', on.program(['/bin/true']), params('dead', { socketDir }))
    process.kill(await task.shimPid(), 'SIGKILL')
    await until('its end', () =>
      task.shimPid().then(
        () => false,
        () => true,
      ),
    )
    assert.equal(readdirSync(socketDir).filter((file) => /^[0-9a-f]{64}$/.test(file)).length, 1)
    await on.daemon.delete('dead')
    assert.deepEqual(
      readdirSync(socketDir).filter((file) => /^[0-9a-f]{64}$/.test(file)),
      [],
    )
  })

  it('takes anything else for what older versions say: options, or nothing', async () => {
    const foreign = params('another', { socketDir: join(on.daemon.dir, 'unused') })
    for (const [id, input] of Object.entries({ options: encode('Any', options), nothing: new Uint8Array(), foreign })) {
      const task = await Task.start(on.daemon, id, on.program(['/bin/true']), input)
      assert.match(readFileSync(join(task.bundle, 'address'), 'utf8'), /^unix:\/\/\/run\/containerd\/s\/[0-9a-f]{64}$/)
      assert.equal(await task.live(on.daemon, on.image), 0)
    }
    assert.ok(!existsSync(join(on.daemon.dir, 'unused')))
  })

  it('prints one line that every version reads, and one that says why it can not', async () => {
    const bundle = on.daemon.bundle('line')
    const call = (input: Uint8Array) =>
      execFileSync('sh', ['-c', 'exec "$@" 2>&1', 'sh', shimBinary, ...args, 'start'], {
        cwd: bundle,
        input,
        encoding: 'utf8',
        env: {},
      })
    const args = [
      '-namespace',
      on.daemon.namespace,
      '-address',
      on.daemon.address,
      '-publish-binary',
      '/bin/false',
      '-id',
      'line',
    ]
    assert.throws(
      () => call(params('line', { socketDir: 'relative' })),
      (error: Error & { stdout: string }) => /^berth: start: socket_dir: .*\n$/.test(error.stdout),
    )
    assert.match(call(new Uint8Array()), /^unix:\/\/\/run\/containerd\/s\/[0-9a-f]{64}\n$/)
    // what start leaves behind has this name once it has executed itself again
    await until('its shim', () => monitorPids(on.daemon.address, 'line').length === 1)
    await on.daemon.stop('line')
    await on.daemon.delete('line')
  })
})
