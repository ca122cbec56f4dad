/** HTTP rules of policies on the real kernel: requests of containers go through their proxy, and nothing else does. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { bring, noCompiler } from '../harness/attack.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { DATAGRAMS, lines, SEND_DOORS } from '../harness/doors.ts'
import { hasEnded, nothingLeft, ourProcesses, pidsWith, snapshot, until } from '../harness/host.ts'
import { OwnNetwork } from '../harness/network.ts'
import { ownUsers } from '../harness/pod.ts'

const id = `http-${process.pid}`
const mate = `${id}-mate`
const BUNDLE = '/etc/ssl/bundle.pem'

const workers = () => pidsWith((args) => args[0] === 'berth-worker')

/** Those of its other processes. */
const named = (wanted: string) =>
  ourProcesses()
    .filter(({ name }) => name === wanted)
    .map(({ pid }) => pid)

/** One connection with its requests, and what came of them. */
interface Wish {
  readonly to: string
  readonly requests?: readonly (readonly [method: string, path: string, size?: number])[]
  readonly host?: string
  readonly port?: number
  readonly tls?: string
  readonly bundle?: string
  readonly udp?: boolean
  readonly from?: number
}

describe('HTTP policies', { skip: notHere || (existsSync('/usr/bin/python3') ? false : 'needs python3') }, () => {
  let network: OwnNetwork
  let earlier: Set<string>
  before(async () => {
    network = await OwnNetwork.start()
  })
  after(async () => {
    await network?.[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    earlier = snapshot()
    network.served.length = 0
  })
  afterEach(async () => {
    for (const one of [id, mate]) await network.berth('delete', '--force', one)
    await until('no worker', () => workers().length === 0)
    await nothingLeft(earlier)
  })

  /** With the node's Python. */
  const prepare = (policy: object, change: (config: Config) => void = () => {}): Bundle => {
    const bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.annotations = { 'io.berth.policy': 'test' }
      config.mounts.push({ destination: '/usr', type: 'bind', source: '/usr', options: ['rbind', 'ro'] })
      change(config)
    })
    const rootfs = join(bundle.dir, 'rootfs')
    for (const name of ['lib', 'lib64']) symlinkSync(`usr/${name}`, join(rootfs, name))
    mkdirSync(join(rootfs, 'usr'))
    mkdirSync(join(rootfs, 'etc/ssl'), { recursive: true })
    writeFileSync(join(rootfs, BUNDLE), '')
    cpSync(join(import.meta.dirname, '../harness/http-client.py'), join(rootfs, 'client.py'))
    mkdirSync(join(bundle.dir, 'policies'))
    writeFileSync(join(bundle.dir, 'policies/test.json'), JSON.stringify(policy))
    writeFileSync(join(bundle.dir, 'node.json'), JSON.stringify({ policies: join(bundle.dir, 'policies') }))
    return bundle
  }
  const start = async (bundle: Bundle, name = id) => {
    const config = join(bundle.dir, 'node.json')
    const { code, stderr } = await network.berth('--config', config, 'run', '--detach', '--bundle', bundle.dir, name)
    assert.equal(code, 0, stderr)
  }
  const ask = async (wishes: readonly Wish[], name = id): Promise<unknown[]> => {
    const texts = wishes.map((wish) => JSON.stringify({ requests: [], ...wish }))
    const { stdout, stderr } = await network.berth('exec', name, '/usr/bin/python3', '/client.py', ...texts)
    assert.equal(stderr, '')
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown)
  }
  const urls = () => network.served.map(({ method, url }) => `${method} ${url}`)
  const EPERM = ['PermissionError', 1]
  const refused = (rule: string) => (answer: unknown) => {
    const [code, text] = answer as [number, string]
    assert.equal(code, 403)
    assert.match(text, new RegExp(rule))
  }

  it('no network, except these requests', async () => {
    using bundle = prepare({
      network: { allow: [] },
      http: { allow: ['GET api.test/v1/*', 'POST api.test/up'], deny: ['* */v1/secret*'], hosts: true },
    })
    await start(bundle)
    const [first, posted, raw, quic, elsewhere, direct] = (await ask([
      {
        to: 'api.test',
        requests: [
          ['GET', '/v1/a'],
          ['GET', '/v1/big'],
          ['GET', '/v2/b'],
          ['GET', '/v1/c/../secret'],
          ['GET', '/v1/d'],
        ],
      },
      { to: 'api.test', requests: [['POST', '/up', 3_000_000]] },
      { to: '192.0.2.2', port: 81, requests: [['GET', '/']] },
      { to: '192.0.2.2', port: 443, udp: true },
      { to: 'api.test', host: 'other.test', requests: [['GET', '/v1/a']] },
      { to: '192.0.2.2', host: 'api.test', requests: [['GET', '/v1/direct']] },
    ])) as unknown[][]
    assert.deepEqual(first?.slice(0, 2), [
      [200, 'served GET /v1/a 0'],
      [200, 4 << 20],
    ])
    refused('http\\.allow of policy "test": no rule allows it')(first?.[2])
    refused('http\\.deny "\\* \\*/v1/secret\\*" of policy "test"')(first?.[3])
    assert.deepEqual(first?.[4], [200, 'served GET /v1/d 0'])
    assert.deepEqual(posted, [[200, 'served POST /up 3000000']])
    assert.deepEqual(raw, EPERM)
    assert.deepEqual(quic, EPERM)
    refused('no rule allows it')(elsewhere?.[0])
    assert.deepEqual(direct, [[200, 'served GET /v1/direct 0']])
    assert.deepEqual(urls(), ['GET /v1/a', 'GET /v1/big', 'GET /v1/d', 'POST /up', 'GET /v1/direct'])
    const { denied } = JSON.parse((await network.berth('inspect', '--json', id)).stdout)
    assert.deepEqual(
      denied.map(({ rule, value, denied: count }: Config) => [rule, value, count]),
      [
        ['network.allow', undefined, 2],
        ['http.allow', undefined, 2],
        ['http.deny', '* */v1/secret*', 1],
        ['http', 'UDP to its ports', 1],
      ],
    )
    const { data } = JSON.parse((await network.berth('events', '--stats', '--policy', id)).stdout)
    assert.deepEqual(data.denied, denied)
    assert.match((await network.berth('state', id)).stdout, /http: a proxy, and BPF programs of the cgroup/)
    assert.match((await network.berth('inspect', id)).stdout, /http\.allow +GET api\.test\/v1\/\* +a proxy/)
  })

  it('the host has to be where the connection went, in either family', async () => {
    using bundle = prepare({ http: { allow: ['* api.test', '* other.test', '* nowhere.test'] } }, (config) => {
      config.linux.namespaces.find(({ type }: Config) => type === 'network').path = `/proc/${network.pid}/ns/net`
    })
    await start(bundle)
    const at = (to: string, host: string): Wish => ({ to, host, requests: [['GET', '/']] })
    const [ip4, mapped, ip6, wrong, nowhere, loopback, quic] = (await ask([
      at('192.0.2.2', 'api.test'),
      at('::ffff:192.0.2.2', 'api.test'),
      at('2001:db8::2', 'api.test'),
      at('2001:db8::2', 'other.test'),
      at('192.0.2.2', 'nowhere.test'),
      at('127.0.0.1', '127.0.0.1'),
      { to: '192.0.2.2', port: 443, udp: true },
    ])) as unknown[][]
    for (const answer of [ip4, mapped, ip6]) assert.deepEqual(answer, [[200, 'served GET / 0']])
    refused('other\\.test is not at 2001:db8::2')(wrong?.[0])
    assert.equal([nowhere?.[0]].flat()[0], 502)
    refused('no rule allows it')(loopback?.[0])
    assert.deepEqual(quic, EPERM)
  })

  it('no door leads past the proxy', { skip: noCompiler }, async () => {
    using bundle = prepare({ http: { deny: [] } })
    bring(bundle, 'senders')
    await start(bundle)
    // There is no way to this address from the container: who comes through was led elsewhere.
    const { stdout, stderr } = await network.berth('exec', id, '/senders', 'to', '192.0.2.9', '80')
    const closed = [...DATAGRAMS, 'io_uring']
    const expected = lines(SEND_DOORS, (door) => (closed.includes(door) ? 'EPERM' : 'open'))
    assert.equal(stdout, expected, stderr)
  })

  it('in a user namespace of its own', async () => {
    using bundle = prepare(
      { http: { allow: ['GET api.test'], hosts: true, intercept: true, trust: [BUNDLE] } },
      ownUsers,
    )
    for (const path of [bundle.dir, join(bundle.dir, 'rootfs')]) chmodSync(path, 0o755)
    // The image's directories are not this root's to write to.
    writeFileSync(join(bundle.dir, 'rootfs/etc/hosts'), '127.0.0.1 localhost\n')
    await start(bundle)
    assert.deepEqual(await ask([{ to: 'api.test', requests: [['GET', '/']] }]), [[[200, 'served GET / 0']]])
    const { stdout } = await network.berth('exec', id, '/bin/cat', '/etc/hosts', BUNDLE)
    assert.match(stdout, /^198\.18\.0\.1 api\.test\n[\s\S]*BEGIN CERTIFICATE/)
  })

  it('network rules of the node hold for what the proxy connects to', async () => {
    using bundle = prepare({ http: { allow: ['* api.test'], hosts: true } })
    writeFileSync(
      join(bundle.dir, 'node.json'),
      JSON.stringify({
        policies: join(bundle.dir, 'policies'),
        policy: { network: { deny: ['192.0.2.0/24', '2001:db8::/32'] } },
      }),
    )
    await start(bundle)
    const [answer] = (await ask([{ to: 'api.test', requests: [['GET', '/']] }])) as unknown[][]
    refused('network\\.deny of .*node\\.json')(answer?.[0])
    assert.deepEqual(urls(), [])
  })

  it('on a port that its HTTP rules are not for a policy is judged by its network rules', async () => {
    using bundle = prepare({ http: { deny: [], ports: [8080] } })
    const ask8080 = async (...allow: string[]) => {
      const policy = { network: { allow }, http: { allow: ['GET api.test/v1/*'] } }
      writeFileSync(join(bundle.dir, 'node.json'), JSON.stringify({ policies: join(bundle.dir, 'policies'), policy }))
      await start(bundle)
      const wish: Wish = { to: '192.0.2.2', port: 8080, host: 'api.test:8080', requests: [['GET', '/v1/x']] }
      const [answer] = (await ask([wish])) as unknown[][]
      await network.berth('delete', '--force', id)
      return answer?.[0]
    }
    refused('network\\.allow of .*node\\.json: no rule allows tcp://192\\.0\\.2\\.2:8080')(await ask8080())
    // Nobody is there, which the proxy has been let see.
    assert.equal([await ask8080('tcp://192.0.2.2:8080')].flat()[0], 502)
  })

  it('TLS: by the name of its server', async () => {
    using bundle = prepare({ http: { allow: ['* api.test'], ports: [443], hosts: true } })
    await start(bundle)
    cpSync(join(network.dir, 'ca.pem'), join(bundle.dir, 'rootfs', BUNDLE))
    const [good, bad] = (await ask([
      {
        to: 'api.test',
        tls: 'api.test',
        bundle: BUNDLE,
        requests: [
          ['GET', '/x'],
          ['PUT', '/y', 10],
        ],
      },
      { to: 'api.test', tls: 'other.test', bundle: BUNDLE, requests: [['GET', '/x']] },
    ])) as unknown[][]
    assert.deepEqual(good, [
      [200, 'served GET /x 0'],
      [200, 'served PUT /y 10'],
    ])
    assert.match(String(bad?.[0]), /Error/)
    assert.deepEqual(urls(), ['GET /x', 'PUT /y'])
  })

  it('TLS: looked into, with credentials that the container never sees', async () => {
    const policy = (more: object) => ({
      http: {
        allow: ['GET api.test/v1/*', 'GET other.test'],
        hosts: true,
        roots: join(network.dir, 'ca.pem'),
        trust: [BUNDLE],
        credentials: [
          { request: 'GET api.test/v1/*', attach: 'bearer', from: `file:${network.file('token', 's3cret\n')}` },
          { request: '* other.test', attach: 'basic:me', from: 'env:TOKEN', mode: 'add-only' },
        ],
        ...more,
      },
    })
    const ca = (more: object) => ({ intercept: true, ...more })
    for (const more of [ca({}), { ca: given(network) }]) {
      using bundle = prepare(policy(more))
      network.served.length = 0
      await start(bundle)
      const [good, fronted, plain] = (await ask([
        {
          to: 'api.test',
          tls: 'api.test',
          bundle: BUNDLE,
          requests: [
            ['GET', '/v1/x'],
            ['GET', '/v2/y'],
            ['GET', '/v1/z'],
          ],
        },
        { to: 'api.test', tls: 'api.test', host: 'other.test', bundle: BUNDLE, requests: [['GET', '/']] },
        { to: 'other.test', requests: [['GET', '/plain']] },
      ])) as unknown[][]
      assert.deepEqual(good?.[0], [200, 'served GET /v1/x 0'])
      refused('http\\.allow')(good?.[1])
      assert.deepEqual(good?.[2], [200, 'served GET /v1/z 0'])
      assert.deepEqual([fronted?.[0]].flat()[0], 400)
      assert.deepEqual(plain, [[200, 'served GET /plain 0']])
      assert.deepEqual(
        network.served.map(({ url, authorization }) => [url, authorization]),
        [
          ['/v1/x', 'Bearer s3cret'],
          ['/v1/z', 'Bearer s3cret'],
          ['/plain', `Basic ${Buffer.from('me:of-the-environment').toString('base64')}`],
        ],
      )
      // nothing of them is in the container, nor in what is written down of it
      const { stdout } = await network.berth('exec', id, '/bin/sh', '-c', `cat ${BUNDLE}; env; echo x >>${BUNDLE}`)
      assert.match(stdout, /BEGIN CERTIFICATE/)
      assert.doesNotMatch(stdout, /PRIVATE KEY|s3cret|of-the-environment/)
      assert.equal(readFileSync(join(bundle.dir, 'rootfs', BUNDLE), 'utf8'), '')
      for (const name of ['state.json', 'config.json', 'undo', 'http.log'])
        assert.doesNotMatch(
          readFileSync(`/run/berth/${id}/${name}`, 'latin1'),
          /s3cret|of-the-environment|PRIVATE/,
          name,
        )
      await network.berth('delete', '--force', id)
      await until('no worker', () => workers().length === 0)
    }
  })

  it('credentials of the environment are not for the command that it was called with', async () => {
    const policy = (http: object) =>
      network.file('policy.json', JSON.stringify({ http: { allow: ['GET api.test/*'], hosts: true, ...http } }))
    const attached = { credentials: [{ request: '* *', attach: 'bearer', from: 'env:TOKEN' }], intercept: true }
    const script = 'env; tr "\\0" "\\n" </proc/self/environ; exec python3 "$0" "$1"'
    const client = join(import.meta.dirname, '../harness/http-client.py')
    const wish = JSON.stringify({ to: 'api.test', requests: [['GET', '/v1/x']] })
    const command = (file: string) =>
      network.berth('run', '--keep', '--policy', file, '--', 'sh', '-c', script, client, wish)
    const kept = async ({ stderr }: { readonly stderr: string }) => {
      const [, name = ''] = /berth commit (run-\S+) /.exec(stderr) ?? assert.fail(stderr)
      const texts = ['config.json', 'state.json', 'undo'].map((file) =>
        readFileSync(`/run/berth/${name}/${file}`, 'latin1'),
      )
      await network.berth('delete', name)
      return texts.join('\n')
    }
    const without = await command(policy({}))
    assert.match(without.stdout, /^TOKEN=of-the-environment$/m, without.stderr)
    assert.match(await kept(without), /of-the-environment/)
    const held = await command(policy(attached))
    assert.match(held.stdout, /^PATH=/m)
    assert.match(held.stdout, /served GET \/v1\/x 0/, held.stderr)
    assert.doesNotMatch(held.stdout, /TOKEN|of-the-environment/)
    assert.doesNotMatch(await kept(held), /of-the-environment/)
    assert.deepEqual(network.served.map(({ authorization }) => authorization).at(-1), 'Bearer of-the-environment')
  })

  it('says where credentials are less of a secret than it may seem', async () => {
    const token = network.file('token', 's3cret\n')
    const http = {
      allow: ['GET api.test/*'],
      credentials: [{ request: '* *', attach: 'bearer', from: `file:${token}` }],
    }
    const readable = /http\.credentials: (.*) can read file:(\S+) itself/
    const clear = /http\.credentials: without intercept or ca/
    const file = (policy: object) => network.file('policy.json', JSON.stringify(policy))
    const command = async (policy: object) => {
      const { code, stderr } = await network.berth('run', '--policy', file(policy), '--', 'true')
      assert.equal(code, 0, stderr)
      return stderr
    }
    const open = await command({ http })
    assert.deepEqual(readable.exec(open)?.slice(1), ['the command', token])
    assert.match(open, clear)
    assert.equal(await command({ http: { ...http, intercept: true }, files: { deny: [token] } }), '')
    const checked = await network.berth('policy', 'check', file({ http }))
    assert.equal(checked.code, 0)
    assert.match(checked.stdout, readable)
    assert.match(checked.stdout, clear)

    for (const [shown, expected] of [
      [true, /the container can read/],
      [false, /^$/],
    ] as const) {
      using bundle = prepare({ http: { ...http, intercept: true } }, (config) => {
        if (shown) config.mounts.push({ destination: '/secrets', type: 'bind', source: network.dir, options: ['bind'] })
      })
      const made = await network.berth('--config', join(bundle.dir, 'node.json'), 'create', '--bundle', bundle.dir, id)
      assert.equal(made.code, 0, made.stderr)
      assert.match(made.stderr, expected)
      await network.berth('delete', '--force', id)
    }
  })

  it('a pod-mate in the same network namespace is not served', async () => {
    using bundle = prepare({ http: { allow: ['* *'], hosts: true, deny: ['* nowhere.test'] } })
    await start(bundle)
    const { pid } = JSON.parse((await network.berth('state', id)).stdout)
    using other = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.mounts.push({ destination: '/usr', type: 'bind', source: '/usr', options: ['rbind', 'ro'] })
      config.linux.namespaces.find(({ type }: Config) => type === 'network').path = `/proc/${pid}/ns/net`
    })
    for (const name of ['lib', 'lib64']) symlinkSync(`usr/${name}`, join(other.dir, 'rootfs', name))
    mkdirSync(join(other.dir, 'rootfs/usr'))
    cpSync(join(import.meta.dirname, '../harness/http-client.py'), join(other.dir, 'rootfs/client.py'))
    writeFileSync(join(other.dir, 'node.json'), '{}')
    await start(other, mate)
    // State LISTEN on 127.0.0.1, in hexadecimal.
    const table = readFileSync(`/proc/${pid}/net/tcp`, 'utf8')
    const port = Number.parseInt(/0100007F:([0-9A-F]{4}) 00000000:0000 0A/.exec(table)?.[1] ?? '', 16)
    assert.ok(port > 0, table)
    const direct: Wish = { to: '127.0.0.1', port, host: '192.0.2.2', requests: [['GET', '/stolen']] }
    // Source ports that the container has just used are no key either.
    const from = 40_000
    const own: Wish = { to: '192.0.2.2', from, requests: [['GET', '/own']] }
    assert.deepEqual(await ask([own]), [[[200, 'served GET /own 0']]])
    for (const answer of await ask([direct, { ...direct, from }], mate))
      assert.match(String(answer), /Error|Disconnected|reset/i)
    // nor is the container itself, where it asks for the proxy
    for (const answer of await ask([direct])) assert.match(String(answer), /Error|Disconnected|reset/i)
    assert.deepEqual(urls(), ['GET /own'])
  })

  it('no container goes on without its proxy, and no proxy without its container', async () => {
    using bundle = prepare({ http: { allow: ['* *'], deny: ['* */secret'] } })
    await start(bundle)
    refused('http\\.deny')(((await ask([{ to: '192.0.2.2', requests: [['GET', '/secret']] }])) as unknown[][])[0]?.[0])
    const { pid } = JSON.parse((await network.berth('state', id)).stdout)
    const [worker = 0] = workers()
    // confined: no capability, no file system but its program
    const status = readFileSync(`/proc/${worker}/status`, 'utf8')
    assert.match(status, /^CapEff:\t0+$/m)
    assert.match(status, /^NoNewPrivs:\t1$/m)
    assert.equal(existsSync(`/proc/${worker}/root/etc/passwd`), false)
    process.kill(worker, 'SIGKILL')
    await until('the container’s end', () => hasEnded(pid))
    const told: string[] = []
    const stopped = async () => {
      await until('stopped', async () => JSON.parse((await network.berth('state', id)).stdout).status === 'stopped')
      const { annotations } = JSON.parse((await network.berth('state', id)).stdout)
      assert.equal(annotations['io.berth.reason'], 'policy')
      const { denied } = JSON.parse((await network.berth('inspect', '--json', id)).stdout)
      told.push(denied.map(({ rule, denied: count }: Config) => `${rule} ${count}`).join())
      await network.berth('delete', id)
    }
    await stopped()
    assert.deepEqual(told, ['http.deny 1'])
    // nor without who accepts for it, who guards that, or who watches the guard
    const monitor = () => [JSON.parse(readFileSync(`/run/berth/${id}/state.json`, 'utf8')).monitor.pid as number]
    for (const who of ['berth-accept', 'berth-guard', 'monitor']) {
      await start(bundle)
      const [one = 0] = who === 'monitor' ? monitor() : named(who)
      assert.notEqual(one, 0, who)
      const { pid: next } = JSON.parse((await network.berth('state', id)).stdout)
      process.kill(one, 'SIGKILL')
      await until('its end', () => hasEnded(next) && workers().length === 0)
      await stopped()
    }
    await start(bundle)
    assert.equal(workers().length, 1)
    await network.berth('kill', id, 'KILL')
    await until('the worker’s end', () => workers().length === 0)
  })

  it('what can not be is an error of create that says why', async () => {
    const cases: readonly [policy: object, why: RegExp][] = [
      [{ http: { allow: ['GET api.test/x'], ports: [443] } }, /"GET api\.test\/x" can't be decided on port 443/],
      [{ http: {} }, /needs allow or deny/],
      [
        { http: { allow: [], intercept: true, trust: ['/etc/none.pem'] } },
        /\/etc\/none\.pem.*is to be added to, but is not there/,
      ],
      [{ http: { allow: [], ca: { certificate: '/dev/null', key: '/dev/null' } } }, /worker/],
      [
        { http: { allow: [], credentials: [{ request: '* *', attach: 'bearer', from: 'file:/no/such' }] } },
        /\/no\/such/,
      ],
      [{ http: { allow: [], credentials: [{ request: '* *', attach: 'bearer', from: 'env:NO_SUCH' }] } }, /NO_SUCH/],
      [
        { http: { allow: [], credentials: [{ request: '* *', attach: 'bearer', from: 'file:/dev/null' }] } },
        /a credential is empty/,
      ],
    ]
    for (const [policy, why] of cases) {
      using bundle = prepare(policy)
      const config = join(bundle.dir, 'node.json')
      const { code, stderr } = await network.berth('--config', config, 'create', '--bundle', bundle.dir, id)
      assert.notEqual(code, 0, JSON.stringify(policy))
      assert.match(stderr, why)
    }
  })
})

/** A certificate authority of the node's. */
const given = (network: OwnNetwork) => {
  const path = (name: string) => join(network.dir, name)
  execFileSync(
    'openssl',
    [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=node',
      ],
      ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', path('given.key'), '-out', path('given.pem')],
    ],
    { stdio: 'ignore' },
  )
  return { certificate: path('given.pem'), key: path('given.key') }
}
