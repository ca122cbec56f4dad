/** Network rules by names of hosts on the real kernel, with a name server that can be made to lie. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { bring, noCompiler } from '../harness/attack.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { lines, SEND_DOORS } from '../harness/doors.ts'
import { nothingLeft, ourProcesses, pidsWith, snapshot, until } from '../harness/host.ts'
import { FORGED, type Zone } from '../harness/name-server.ts'
import { OwnNetwork } from '../harness/network.ts'

const id = `names-${process.pid}`
const FILES = {
  hosts: '127.0.0.1 localhost\n127.0.0.2 own.test\n',
  'resolv.conf': 'nameserver 192.0.2.53\nsearch test\n',
  'zone.json': '{}',
}
const workers = () => pidsWith((args) => args[0] === 'berth-worker')
const appliers = () => ourProcesses().filter(({ name }) => name === 'berth-apply')

describe('network policies by names', { skip: notHere || noCompiler }, () => {
  let network: OwnNetwork
  let earlier: Set<string>
  before(async () => {
    network = await OwnNetwork.start('name-server.ts', FILES)
  })
  after(async () => {
    await network?.[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    earlier = snapshot()
  })
  afterEach(async () => {
    await network.berth('delete', '--force', id)
    await until('no worker', () => workers().length + appliers().length === 0)
    await nothingLeft(earlier)
  })

  const says = (zone: Zone) => network.replace('zone.json', JSON.stringify(zone))
  const prepare = (args: readonly string[], rules: object | undefined): Bundle => {
    const bundle = new Bundle(args, (config: Config) => {
      if (rules) config.annotations = { 'io.berth.policy.inline': JSON.stringify({ network: rules }) }
      // for addresses of its own
      for (const set of ['bounding', 'effective', 'permitted']) config.process.capabilities[set] = ['CAP_NET_ADMIN']
    })
    bring(bundle, 'senders')
    return bundle
  }
  const run = async (rules: object, script: string) => {
    using bundle = prepare(['/bin/sh', '-c', script], rules)
    return await network.berth('run', '--bundle', bundle.dir, id)
  }
  /** Makes the addresses its own, and tries the first door to each. */
  const connects = (...addresses: string[]) =>
    addresses
      .map((address) => {
        const size = address.includes(':') ? 128 : 32
        return `ip addr add ${address}/${size} dev lo; /senders to ${address} 7000 | head -n 1`
      })
      .join(';')
  const outcome = async (rules: object, ...addresses: string[]): Promise<string[]> => {
    const { stdout, stderr } = await run(rules, connects(...addresses))
    assert.equal(stderr, '')
    return stdout.trim().split('\n')
  }
  const [OPEN, REFUSED] = ['connect open', 'connect EPERM']

  it('every address of a name is allowed, by each door, and no other', async () => {
    says({
      'api.test': { A: ['192.0.2.7', '192.0.2.8'], AAAA: ['2001:db8::7'] },
      'alias.test': { CNAME: 'mid.test' },
      'mid.test': { CNAME: 'api.test' },
    })
    const all = ['192.0.2.7', '192.0.2.8', '2001:db8::7', '192.0.2.9']
    const expected = [OPEN, OPEN, OPEN, REFUSED]
    for (const name of ['api.test', 'API.test', 'alias.test', 'api'])
      assert.deepEqual(await outcome({ allow: [`${name}:7000`] }, ...all), expected, name)
    assert.deepEqual(await outcome({ allow: ['tcp://api.test:7001', 'udp://api.test'] }, '192.0.2.7'), [REFUSED])
    const doors = await run({ allow: ['api.test:7000'] }, `${connects('192.0.2.7')}; /senders to 192.0.2.7 7000`)
    const open = lines(SEND_DOORS, (door) => (door === 'io_uring' ? 'EPERM' : 'open'))
    assert.equal(doors.stdout, `${OPEN}\n${open}`)
  })

  it("the node's own file comes first, and can be given to the container", async () => {
    says({ 'own.test': { A: [FORGED] }, 'api.test': { A: ['192.0.2.7'], AAAA: ['2001:db8::7'] } })
    const { stdout } = await run(
      { allow: ['own.test', 'api.test'], hosts: true },
      `cat /etc/hosts; ${connects(FORGED)}`,
    )
    const hosts = ['127.0.0.2 own.test', '192.0.2.7 api.test', '2001:db8::7 api.test']
    assert.equal(stdout, `${hosts.join('\n')}\n${REFUSED}\n`)
  })

  it('hosts of network rules and of HTTP rules are in one file', async () => {
    const own = { allow: ['own.test'], hosts: true }
    const policy = { network: own, http: { allow: ['GET api.test'], hosts: true } }
    const node = network.file('config.json', JSON.stringify({ policy }))
    using bundle = prepare(['/bin/cat', '/etc/hosts'], undefined)
    const { stdout, stderr } = await network.berth('--config', node, 'run', '--bundle', bundle.dir, id)
    assert.deepEqual(stdout.trim().split('\n').sort(), ['127.0.0.2 own.test', '198.18.0.1 api.test'], stderr)
  })

  it('answers of another id, to another question, or cut short are none', async () => {
    for (const forged of ['id', 'question', 'cut'] as const) {
      says({ 'api.test': { A: ['192.0.2.7'], forged } })
      assert.deepEqual(await outcome({ allow: ['api.test'] }, '192.0.2.7', FORGED), [OPEN, REFUSED], forged)
    }
  })

  it('what stands for nothing is an error of create, which says why', async () => {
    says({
      'loop.test': { CNAME: 'again.test' },
      'again.test': { CNAME: 'loop.test' },
      'broken.test': { fails: true },
      'node.test': { A: ['127.0.0.1', '169.254.169.254'] },
    })
    const cases: Readonly<Record<string, RegExp>> = {
      'nowhere.test': /"nowhere\.test" of annotations stands for no address\n/,
      'loop.test': /"loop\.test" of annotations stands for no address/,
      'broken.test': /stands for no address \(192\.0\.2\.53: ESERVFAIL\)/,
      'node.test': /stands for no address \(a name server says 127\.0\.0\.1, which is no address of another host\)/,
    }
    for (const [name, pattern] of Object.entries(cases)) {
      const { code, stderr } = await run({ allow: ['192.0.2.7', `tcp://${name}:443`] }, 'true')
      assert.equal(code, 1, name)
      assert.match(stderr, pattern)
    }
  })

  it('a name server that is not there is one', async () => {
    network.file('resolv.conf', 'nameserver 192.0.2.54\n')
    try {
      const { code, stderr } = await run({ allow: ['api.test'] }, 'true')
      assert.equal(code, 1)
      assert.match(stderr, /"api\.test" of annotations stands for no address \(192\.0\.2\.54: E[A-Z]+\)/)
    } finally {
      network.file('resolv.conf', FILES['resolv.conf'])
    }
  })

  it('policy check tells what a name stands for', async () => {
    says({ 'api.test': { A: ['192.0.2.7', '192.0.2.8'] } })
    const file = network.file('policy.json', JSON.stringify({ network: { allow: ['api.test:443', '10.0.0.1'] } }))
    const { stdout } = await network.berth('policy', 'check', file)
    assert.match(stdout, /network\.allow +api\.test:443 \(192\.0\.2\.7, 192\.0\.2\.8\) +BPF programs/)
    assert.match(stdout, /network\.allow +10\.0\.0\.1 +BPF/)
  })

  describe('that are looked up again', () => {
    const started = async (): Promise<Disposable> => {
      says({ 'api.test': { A: ['192.0.2.7'] }, 'other.test': { A: ['192.0.2.20'] } })
      const allow = ['api.test:7000', '192.0.2.9:7000', 'tcp://other.test:9']
      const policy = { network: { allow, refresh: 1 } }
      const node = network.file('config.json', JSON.stringify({ policy }))
      const script = `${connects('192.0.2.7', '192.0.2.8', '192.0.2.9')}; exec sleep 1000`
      const bundle = prepare(['/bin/sh', '-c', script], undefined)
      const { code, stderr } = await network.berth('--config', node, 'run', '--detach', '--bundle', bundle.dir, id)
      assert.equal(code, 0, stderr)
      // Until then it has not all addresses, and listens where an exec is to.
      const { pid } = JSON.parse((await network.berth('state', id)).stdout)
      await until('its script is through', () => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n')
      return bundle
    }
    const reached = async (address: string): Promise<boolean> => {
      const { code, signal, stdout, stderr } = await network.berth('exec', id, '/senders', 'to', address, '7000')
      assert.match(stdout, /^connect /, `exec ended with ${code}, ${signal}: ${stderr}`)
      return stdout.startsWith(OPEN)
    }
    const shown = async (name = 'api.test'): Promise<unknown> =>
      JSON.parse((await network.berth('inspect', '--json', id)).stdout).addresses[name]
    const isShown = (...addresses: string[]) =>
      until(`addresses ${addresses}`, async () => JSON.stringify(await shown()) === JSON.stringify(addresses))

    it('what is new is let in, what is old is not, and what nobody can tell stays', async () => {
      using _bundle = await started()
      assert.deepEqual(await shown(), ['192.0.2.7'])
      assert.deepEqual([await reached('192.0.2.7'), await reached('192.0.2.8')], [true, false])
      says({ 'api.test': { A: ['192.0.2.8', '127.0.0.1'] } })
      await isShown('192.0.2.8')
      // Who changes the rules has been told by then, and is another process.
      await until('the old one is refused', async () => !(await reached('192.0.2.7')))
      assert.equal(await reached('192.0.2.8'), true)
      says({ 'api.test': { A: ['192.0.2.8', '192.0.2.9'] } })
      await isShown('192.0.2.8', '192.0.2.9')
      says({ 'api.test': { fails: true }, 'other.test': { A: ['192.0.2.21'] } })
      await until('the other', async () => JSON.stringify(await shown('other.test')) === '["192.0.2.21"]')
      assert.deepEqual(await shown(), ['192.0.2.8', '192.0.2.9'])
      assert.deepEqual([await reached('192.0.2.8'), await reached('192.0.2.9')], [true, true])
      says({ 'api.test': { A: ['192.0.2.7'] } })
      await isShown('192.0.2.7')
      await until('the old one is refused again', async () => !(await reached('192.0.2.8')))
      // a rule of its own names it
      assert.equal(await reached('192.0.2.9'), true)
    })

    it('by a worker that ends with the container, and not the other way round', async () => {
      using _bundle = await started()
      const [worker = 0] = workers()
      process.kill(worker, 'SIGKILL')
      await until('nobody who changes the rules', () => workers().length + appliers().length === 0)
      assert.deepEqual([await reached('192.0.2.7'), await reached('192.0.2.8')], [true, false])
    })

    it('is nothing for annotations', async () => {
      const { code, stderr } = await run({ allow: ['own.test'], refresh: 1 }, 'true')
      assert.equal(code, 1)
      assert.match(stderr, /network\.refresh is the node's to say/)
    })
  })
})
