/** linux.netDevices with devices of the host's network namespace. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { leftOver, snapshot, until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const ip = (...args: string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

const canMake = (() => {
  if (notHere) return false
  try {
    ip('link', 'add', 'berth-probe', 'type', 'veth', 'peer', 'name', 'berth-probe2')
    ip('link', 'del', 'berth-probe')
    return true
  } catch {
    return false
  }
})()

describe('linux.netDevices', { skip: notHere || (canMake ? false : 'needs veth devices and ip') }, () => {
  let before: Set<string>
  const id = `net-${process.pid}`
  beforeEach(() => {
    before = snapshot()
    ip('link', 'add', 'bt0', 'type', 'veth', 'peer', 'name', 'bt1')
  })
  afterEach(async () => {
    await berth(['delete', '--force', id])
    await until('no device is left', () => {
      const left = devices().find((name) => name.startsWith('bt'))
      if (left === undefined) return true
      try {
        ip('link', 'del', left)
      } catch {
        // it went with its namespace
      }
      return false
    })
    assert.deepEqual(leftOver(before), [])
  })

  const devices = () => (JSON.parse(ip('-json', 'link', 'show')) as { ifname: string }[]).map(({ ifname }) => ifname)
  const run = async (netDevices: Config, args: readonly string[], change: (config: Config) => void = () => {}) => {
    using bundle = new Bundle(args, (config) => {
      config.linux.netDevices = netDevices
      change(config)
    })
    return await berth(['run', '--bundle', bundle.dir, id])
  }

  it('are moved, named, up, and keep their permanent addresses of global scope', async () => {
    ip('addr', 'add', '10.1.2.3/24', 'brd', '10.1.2.255', 'dev', 'bt0')
    ip('addr', 'add', '10.1.2.4/24', 'dev', 'bt0')
    ip('addr', 'add', '192.0.2.1', 'peer', '192.0.2.9/32', 'dev', 'bt0', 'metric', '77')
    ip('addr', 'add', '2001:db8::7/64', 'dev', 'bt0', 'nodad')
    ip('addr', 'add', '169.254.7.7/16', 'scope', 'link', 'dev', 'bt0')
    ip('addr', 'add', '10.9.9.9/24', 'dev', 'bt0', 'valid_lft', '1000', 'preferred_lft', '1000')
    ip('link', 'set', 'bt0', 'up', 'address', '02:00:00:00:00:07', 'mtu', '1400')
    ip('link', 'set', 'bt1', 'up')
    const done = await run({ bt0: { name: 'eth7' } }, ['/bin/ip', 'addr', 'show', 'dev', 'eth7'])
    assert.equal(done.stderr, '')
    assert.match(done.stdout, /eth7.*<[^>]*\bUP\b[^>]*>.* mtu 1400/)
    assert.match(done.stdout, /02:00:00:00:00:07/)
    const addresses = [...done.stdout.matchAll(/inet6? (\S+)( peer \S+)?( brd \S+)? scope global/g)].map(
      ([, a, peer = '', brd = '']) => a + peer + brd,
    )
    assert.deepEqual(addresses.sort(), [
      '10.1.2.3/24 brd 10.1.2.255',
      '10.1.2.4/24',
      '192.0.2.1 peer 192.0.2.9/32',
      '2001:db8::7/64',
    ])
    assert.doesNotMatch(done.stdout, /169\.254|10\.9\.9\.9/)
    // a virtual device ends with its namespace, and its peer with it
    assert.ok(!devices().includes('bt0'))
  })

  it('keep their name where none is given; a template gets a number', async () => {
    const plain = await run({ bt0: {} }, ['/bin/ip', 'link', 'show', 'dev', 'bt0'])
    assert.deepEqual([plain.stderr, plain.code], ['', 0])
    // the kernel takes a namespace down on its own time
    await until('the peer is gone', () => !devices().includes('bt1'))
    ip('link', 'add', 'bt0', 'type', 'veth', 'peer', 'name', 'bt1')
    const template = await run({ bt0: { name: 'net%d' }, bt1: { name: 'net%d' } }, ['/bin/ip', 'link'])
    assert.equal(template.stderr, '')
    assert.match(template.stdout, / net0@net1: [\s\S]*UP/)
    assert.match(template.stdout, / net1@net0: [\s\S]*UP/)
  })

  it('a name that is taken is an error, and the device stays where it is', async () => {
    const done = await run({ bt0: { name: 'lo' } }, ['/bin/true'])
    assert.equal(done.code, 1)
    assert.match(done.stderr, /linux\.netDevices\.bt0.*lo.*has a device of this name/)
    assert.ok(devices().includes('bt0'))
  })

  it('a device that is not there, or can not be moved, is an error that names it', async () => {
    const absent = await run({ none0: {} }, ['/bin/true'])
    assert.equal(absent.code, 1)
    assert.match(absent.stderr, /linux\.netDevices\.none0.*there is no such network device/)
    const local = await run({ lo: { name: 'lo1' } }, ['/bin/true'])
    assert.equal(local.code, 1)
    assert.match(local.stderr, /linux\.netDevices\.lo.*does not let this device out/)
    const host = await run({ bt0: {} }, ['/bin/true'], (config) => {
      const network = config.linux.namespaces.find(({ type }: { type: string }) => type === 'network')
      network.path = '/proc/self/ns/net'
    })
    assert.equal(host.code, 1)
    assert.match(host.stderr, /no network namespace of its own/)
    assert.ok(devices().includes('bt0'))
  })

  it('an index that is taken in the container is no obstacle', async () => {
    const holder = spawn('unshare', ['--net', 'sleep', '1000'], { stdio: 'ignore' })
    const own = readlinkSync('/proc/self/ns/net')
    const gone = new Promise((done) => holder.on('exit', done))
    try {
      await until('its namespace', () => readlinkSync(`/proc/${holder.pid}/ns/net`) !== own)
      const index = String(JSON.parse(ip('-json', 'link', 'show', 'bt0'))[0].ifindex)
      const enter = ['--target', String(holder.pid), '--net', 'ip', 'link', 'add', 'other', 'index', index]
      execFileSync('nsenter', [...enter, 'type', 'bridge'])
      const done = await run({ bt0: { name: 'mine' } }, ['/bin/ip', 'link', 'show', 'dev', 'mine'], (config) => {
        const network = config.linux.namespaces.find(({ type }: { type: string }) => type === 'network')
        network.path = `/proc/${holder.pid}/ns/net`
      })
      assert.deepEqual([done.stderr, done.code], ['', 0])
      assert.doesNotMatch(done.stdout, new RegExp(`^${index}:`))
    } finally {
      holder.kill('SIGKILL')
      await gone
    }
  })
})
