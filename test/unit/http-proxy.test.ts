/** The HTTP proxy with real connections of the loopback: what it lets through, what it refuses, and how. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { connect as tlsConnect } from 'node:tls'
import { Authority } from '../../src/policy/worker/http/authority.ts'
import { readHello } from '../../src/policy/worker/http/client-hello.ts'
import type { CredentialConfig, HttpConfig } from '../../src/policy/worker/http/config.ts'
import { Credentials } from '../../src/policy/worker/http/credentials.ts'
import { Decider } from '../../src/policy/worker/http/decide.ts'
import { Destinations } from '../../src/policy/worker/http/destinations.ts'
import { nameService } from '../../src/policy/worker/http/names.ts'
import { HttpProxy } from '../../src/policy/worker/http/proxy.ts'
import { lookUpBy } from '../../src/policy/worker/resolver.ts'

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

const HOSTS = '127.0.0.1 api.test other.test # both here\n127.0.0.9 elsewhere.test\n'

/** One that says what it was asked. */
const answering = (seen: Seen[]) => async (request: IncomingMessage, response: ServerResponse) => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks).toString()
  seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
  if (request.url === '/big') response.end(Buffer.alloc(8 << 20, 'b'))
  else response.end(`served ${request.method} ${request.url} ${body.length}`)
}

describe('the HTTP proxy', () => {
  const seen: Seen[] = []
  const closers: (() => void)[] = []
  const open = new Set<Socket>()
  const listening = async (server: Server | ReturnType<typeof createTcpServer>): Promise<number> => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    server.on('connection', (socket: Socket) => open.add(socket))
    closers.push(() => server.close())
    return (server.address() as AddressInfo).port
  }
  let port: number
  let tlsPort: number
  let serverCa: Authority
  before(async () => {
    port = await listening(createServer(answering(seen)))
    serverCa = await Authority.open(undefined)
    const SNICallback = (name: string, done: (error: null, context: never) => void) =>
      void serverCa.contextFor(name).then((context) => done(null, context as never))
    tlsPort = await listening(createTlsServer({ SNICallback }, answering(seen)))
  })
  beforeEach(() => {
    seen.length = 0
  })
  after(() => {
    for (const close of closers) close()
    for (const socket of open) socket.destroy()
  })

  /** A proxy before the servers above; connections to the port that it gives were going to 127.0.0.1, or to `address`. */
  const proxied = async (
    rules: { allow?: readonly string[]; deny?: readonly string[] },
    {
      address = '127.0.0.1',
      to = port,
      authority,
      names = {},
      network = [],
      credentials = [],
    }: Partial<Pick<HttpConfig, 'names' | 'network'>> & {
      address?: string
      to?: number
      authority?: Authority
      credentials?: readonly CredentialConfig[]
    } = {},
  ) => {
    const counted: number[] = []
    const proxy = new HttpProxy({
      config: { policies: [{ from: 'the test', ...rules, ports: [to] }], network, names, hostNetwork: true },
      names: nameService(lookUpBy(HOSTS, '')),
      roots: serverCa.certificate,
      credentials: new Credentials(credentials),
      authority,
      refused: (counter) => counted.push(counter),
    })
    const front = createTcpServer((socket) => proxy.accept(socket, { address, port: to }))
    closers.push(() => proxy.close())
    return { port: await listening(front), counted }
  }

  /** What comes back for bytes that are sent, until the connection ends or `enough` of them. */
  const talk = async (
    to: number,
    text: string | Buffer,
    enough: (answer: string) => boolean = () => false,
  ): Promise<string> => {
    const socket = connect(to, '127.0.0.1')
    return await exchange(socket, text, enough)
  }
  const exchange = (socket: Socket, text: string | Buffer, enough: (answer: string) => boolean): Promise<string> =>
    new Promise((resolve) => {
      let answer = ''
      socket.on('data', (data) => {
        answer += data.toString('latin1')
        if (enough(answer)) socket.destroy()
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(answer))
      socket.write(text)
    })
  const get = (path: string, ...headers: string[]) =>
    [
      `GET ${path} HTTP/1.1`,
      ...(headers.some((header) => /^host:/i.test(header)) ? [] : [`Host: api.test:${port}`]),
      ...headers,
      '',
      '',
    ].join('\r\n')
  const CLOSE = 'Connection: close'
  const status = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0)

  it('lets through what is allowed, and says which rule refused the rest', async () => {
    const { port: at, counted } = await proxied({ allow: ['GET api.test/v1/*'] })
    const good = await talk(at, get('/v1/x?y=1', CLOSE))
    assert.equal(status(good), 200)
    assert.match(good, /served GET \/v1\/x\?y=1/)
    const bad = await talk(at, get('/v2/x', CLOSE))
    assert.equal(status(bad), 403)
    assert.match(bad, /berth: GET api\.test:\d+\/v2\/x: refused by http\.allow of the test: no rule allows it/)
    assert.deepEqual(counted, [0])
    assert.deepEqual(
      seen.map(({ url }) => url),
      ['/v1/x?y=1'],
    )
  })

  it('deny comes first, and alone lets the rest through', async () => {
    const { port: at, counted } = await proxied({ deny: ['* */secret*', 'POST *'] })
    assert.equal(status(await talk(at, get('/open', CLOSE))), 200)
    const answer = await talk(at, get('/x/../secret/1', CLOSE))
    assert.equal(status(answer), 403)
    assert.match(answer, /refused by http\.deny "\* \*\/secret\*" of the test/)
    assert.deepEqual(counted, [3])
  })

  it('judges every request of a connection', async () => {
    const { port: at } = await proxied({ allow: ['GET api.test/v1/*'] })
    const answer = await talk(at, get('/v1/a') + get('/v1/b') + get('/v2/c') + get('/v1/d', CLOSE))
    assert.deepEqual(
      [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code),
      ['200', '200', '403', '200'],
    )
    assert.deepEqual(
      seen.map(({ url }) => url),
      ['/v1/a', '/v1/b', '/v1/d'],
    )
  })

  it('wants one host, that of the address', async () => {
    const { port: at, counted } = await proxied({ allow: ['* *'] })
    const cases: readonly [request: string, code: number, why: RegExp][] = [
      [get('/', 'Host: elsewhere.test', CLOSE), 403, /elsewhere\.test is not at 127\.0\.0\.1/],
      [get('/', 'Host: nowhere.test', CLOSE), 502, /nowhere\.test has no address/],
      [get('/', 'Host: u@api.test', CLOSE), 400, /user information/],
      [get('/', `Host: api.test:${port + 1}`, CLOSE), 400, /its Host has port/],
      [get('/', 'Host: api.test', 'Host: other.test', CLOSE), 400, /no Host, or several/],
      [get('http://other.test/', 'Host: api.test', CLOSE), 400, /its URI and its Host differ/],
      [get('https://api.test/', 'Host: api.test', CLOSE), 400, /scheme https/],
      [get('x', CLOSE), 400, /no request|no path|Bad Request/],
      [get('/', 'Host: a b', CLOSE), 400, /is no host|no request/],
    ]
    for (const [request, code, why] of cases) {
      const answer = await talk(at, request)
      assert.equal(status(answer), code, request)
      assert.match(answer, why)
    }
    assert.equal(status(await talk(at, get(`http://api.test:${port}/x`, CLOSE))), 200)
    assert.equal(status(await talk(at, get('/x', 'Host: 127.0.0.1', CLOSE))), 200)
    assert.equal(seen.length, 2)
    assert.equal(seen[0]?.url, '/x')
    assert.ok(counted.every((counter) => counter === 1 || counter === 2))
  })

  it('an address that stands for a host is for that host alone', async () => {
    const { port: at } = await proxied(
      { allow: ['* *'] },
      { address: '198.18.0.1', names: { '198.18.0.1': 'api.test' } },
    )
    assert.equal(status(await talk(at, get('/', CLOSE))), 200)
    assert.equal(status(await talk(at, get('/', 'Host: other.test', CLOSE))), 403)
  })

  it('takes nothing that two could read in two ways', async () => {
    const { port: at } = await proxied({ allow: ['* api.test/v1/*'] })
    const smuggled = 'GET /v2/smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n'
    const post = (...headers: string[]) =>
      ['POST /v1/x HTTP/1.1', `Host: api.test:${port}`, ...headers, '', ''].join('\r\n')
    const cases = [
      `${post('Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n${smuggled}`,
      `${post('Content-Length: 4', 'Content-Length: 5')}12345${smuggled}`,
      `${post('Transfer-Encoding: chunked, identity')}0\r\n\r\n${smuggled}`,
      `${post('Transfer-Encoding : chunked')}0\r\n\r\n${smuggled}`,
      `${post('Transfer-Encoding: xchunked')}0\r\n\r\n${smuggled}`,
      `${post('Content-Length: +5')}12345${smuggled}`,
      `${post('Transfer-Encoding: chunked')}5 \r\n12345\r\n0\r\n\r\n`.replace('5 ', '0x5'),
      `POST /v1/x HTTP/1.1\r\nHost: api.test\r\n Content-Length: 5\r\n\r\n${smuggled}`,
      `GET /v1/x HTTP/1.1\nHost: api.test\n\n`,
      'GET /v1/x HTTP/1.1\r\nHost: api.test\r\nX: a\0b\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    ]
    for (const request of cases) {
      const answer = await talk(at, request, (text) => /\r\n\r\n.*$/s.test(text) && !/^HTTP\/1\.1 400/.test(text))
      assert.equal(status(answer), 400, `${JSON.stringify(request)} ${answer}`)
    }
    assert.ok(seen.every(({ url }) => !url.includes('smuggled')))
  })

  it('frames each message anew, and passes no header of a connection on', async () => {
    const { port: at } = await proxied({ allow: ['* *'] })
    const head = [
      'POST /x HTTP/1.1',
      'Host: api.test',
      'Connection: close, X-Own',
      'X-Own: 1',
      'X-Kept: 2',
      'Upgrade: websocket',
      'Proxy-Authorization: Basic x',
      'Transfer-Encoding: chunked',
      '',
      '',
    ].join('\r\n')
    const answer = await talk(at, `${head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`)
    assert.equal(status(answer), 200)
    const [{ headers, body } = { headers: {} as IncomingMessage['headers'], body: '' }] = seen
    assert.equal(body, 'abcde')
    assert.equal(headers['x-kept'], '2')
    assert.equal(headers.host, `api.test:${port}`)
    for (const name of ['x-own', 'upgrade', 'proxy-authorization']) assert.equal(headers[name], undefined, name)
  })

  it('CONNECT is refused', async () => {
    const { port: at, counted } = await proxied({ allow: ['* *'] })
    assert.equal(status(await talk(at, `CONNECT api.test:${port} HTTP/1.1\r\nHost: api.test\r\n\r\n`)), 403)
    assert.deepEqual(counted, [1])
  })

  it('large bodies, both ways', async () => {
    const { port: at } = await proxied({ allow: ['* *'] })
    const body = Buffer.alloc(8 << 20, 'a')
    const head = `POST /up HTTP/1.1\r\nHost: api.test\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`
    assert.match(await talk(at, Buffer.concat([Buffer.from(head), body])), new RegExp(`served POST /up ${body.length}`))
    const down = await talk(at, get('/big', CLOSE))
    assert.equal(down.length - down.indexOf('\r\n\r\n') - 4 >= 8 << 20, true)
  })

  it('who sends a large body to no avail still has an answer', async () => {
    const { port: at } = await proxied({ allow: ['GET *'] })
    const body = Buffer.alloc(8 << 20, 'a')
    const head = `POST /up HTTP/1.1\r\nHost: api.test\r\nContent-Length: ${body.length}\r\n\r\n`
    const answer = await talk(at, Buffer.concat([Buffer.from(head), body, Buffer.from(get('/next', CLOSE))]))
    assert.deepEqual(
      [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code),
      ['403', '200'],
    )
  })

  it('network rules of other policies hold for its own connections', async () => {
    const rules = [{ from: 'the node', allow: ['tcp://10.0.0.0/8'] }]
    const { port: at } = await proxied({ allow: ['* *'] }, { network: rules })
    const answer = await talk(at, get('/', CLOSE))
    assert.equal(status(answer), 403)
    assert.match(answer, /network\.allow of the node: no rule allows tcp:\/\/127\.0\.0\.1/)
    const own = new Destinations([], false)
    for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '0.0.0.0', '169.254.169.254', 'fe80::1', 'ff02::1'])
      assert.notEqual(own.refusal(address, 80, false), undefined, address)
    for (const address of ['10.0.0.1', '2001:db8::1']) assert.equal(own.refusal(address, 80, false), undefined, address)
    assert.equal(own.refusal('169.254.169.254', 80, true), undefined)
    assert.notEqual(own.refusal('127.0.0.1', 80, true), undefined)
  })

  it('a policy whose HTTP rules are not for a port has its network rules say what may be reached there', () => {
    const node = new Destinations([{ from: 'the node', allow: ['10.0.0.0/8'], requests: [80] }], false)
    assert.equal(node.refusal('192.0.2.1', 80, false), undefined)
    assert.match(node.refusal('192.0.2.1', 8080, false) ?? '', /network\.allow of the node: no rule allows/)
    assert.equal(node.refusal('10.0.0.1', 8080, false), undefined)
  })

  it('an address of the link is named by who may grant it, for the ports of its rules', () => {
    const near = '169.254.169.254'
    const decider = new Decider([
      { from: 'the node', allow: ['* *', `GET ${near}/x`], ports: [80] },
      { from: 'annotations', allow: [`GET ${near}`, 'GET 169.254.0.1'], ports: [80, 8080], narrows: true },
    ])
    assert.equal(decider.names(near, 80), true)
    assert.equal(decider.names(near, 8080), false)
    assert.equal(decider.names('169.254.0.1', 80), false)
  })

  describe('credentials', () => {
    const dir = mkdtempSync(join(tmpdir(), 'berth-credentials-'))
    after(() => rmSync(dir, { recursive: true }))
    const secret = (text: string) => {
      const path = join(dir, 'secret')
      writeFileSync(path, text)
      return openSync(path, 'r')
    }
    const attachedOn = async (
      ports: readonly number[],
      attach: string,
      mode: CredentialConfig['mode'],
      path: string,
      ...headers: string[]
    ) => {
      const credentials = [{ request: 'GET api.test/v1/*', ports, attach, mode, fd: secret('s3cret\r\n') }]
      const { port: at } = await proxied({ allow: ['* *'] }, { credentials })
      assert.equal(status(await talk(at, get(path, CLOSE, ...headers))), 200)
      return seen.pop()
    }
    const attached = (attach: string, mode: CredentialConfig['mode'], path: string, ...headers: string[]) =>
      attachedOn([port], attach, mode, path, ...headers)
    it('in each of their forms', async () => {
      assert.equal((await attached('bearer', 'replace', '/v1/x'))?.headers.authorization, 'Bearer s3cret')
      const basic = (await attached('basic:me', 'replace', '/v1/x'))?.headers.authorization
      assert.equal(basic, `Basic ${Buffer.from('me:s3cret').toString('base64')}`)
      assert.equal((await attached('apikey:X-Key', 'replace', '/v1/x'))?.headers['x-key'], 's3cret')
      assert.equal((await attached('query:key', 'replace', '/v1/x?a=1&k%65y=mine&b'))?.url, '/v1/x?a=1&b&key=s3cret')
      assert.equal((await attached('query:key', 'replace', '/v1/x'))?.url, '/v1/x?key=s3cret')
    })
    it('instead of the container’s own, or only where it has none', async () => {
      const own = 'Authorization: Bearer mine'
      assert.equal((await attached('bearer', 'replace', '/v1/x', own))?.headers.authorization, 'Bearer s3cret')
      assert.equal((await attached('bearer', 'add-only', '/v1/x', own))?.headers.authorization, 'Bearer mine')
      assert.equal((await attached('query:key', 'add-only', '/v1/x?key=mine'))?.url, '/v1/x?key=mine')
    })
    it('for no other request', async () => {
      assert.equal((await attached('bearer', 'replace', '/v2/x'))?.headers.authorization, undefined)
      assert.equal((await attached('bearer', 'replace', '/v1/../v2/x'))?.headers.authorization, undefined)
    })
    it('on no port but those of their policy', async () => {
      assert.equal((await attachedOn([443], 'bearer', 'replace', '/v1/x'))?.headers.authorization, undefined)
      assert.equal(
        (await attachedOn([443, port], 'bearer', 'replace', '/v1/x'))?.headers.authorization,
        'Bearer s3cret',
      )
    })
    it('that no header can hold are a 502', async () => {
      const credentials = [{ request: '* *', ports: [port], attach: 'bearer', mode: 'replace' as const, value: 'a\nb' }]
      const { port: at } = await proxied({ allow: ['* *'] }, { credentials })
      assert.equal(status(await talk(at, get('/', CLOSE))), 502)
    })
  })

  describe('TLS', () => {
    const ask = async (to: number, servername: string, ca: string, request: string): Promise<string> => {
      const socket = tlsConnect({ port: to, host: '127.0.0.1', servername, ca, ALPNProtocols: ['h2', 'http/1.1'] })
      return await exchange(socket, request, () => false)
    }
    const tlsGet = (path: string, host = `api.test:${tlsPort}`) =>
      `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`

    it('by its server’s name, unseen', async () => {
      const { port: at, counted } = await proxied({ allow: ['* api.test', 'GET other.test/x'] }, { to: tlsPort })
      assert.match(await ask(at, 'api.test', serverCa.certificate, tlsGet('/x')), /served GET \/x/)
      assert.equal(await ask(at, 'other.test', serverCa.certificate, tlsGet('/x', 'other.test')), '')
      assert.equal(await ask(at, 'elsewhere.test', serverCa.certificate, tlsGet('/x')), '')
      assert.equal(await ask(at, '', serverCa.certificate, tlsGet('/x')), '')
      assert.deepEqual(counted, [0, 0, 1])
    })

    it('looked into', async () => {
      const authority = await Authority.open(undefined)
      const credentials = [
        { request: '* api.test', ports: [tlsPort], attach: 'bearer', mode: 'replace' as const, value: 's3cret' },
      ]
      const { port: at } = await proxied({ allow: ['GET api.test/v1/*'] }, { to: tlsPort, authority, credentials })
      assert.match(await ask(at, 'api.test', authority.certificate, tlsGet('/v1/x')), /served GET \/v1\/x/)
      assert.equal(seen[0]?.headers.authorization, 'Bearer s3cret')
      assert.equal(status(await ask(at, 'api.test', authority.certificate, tlsGet('/v2/x'))), 403)
      const other = await ask(at, 'api.test', authority.certificate, tlsGet('/v1/x', 'other.test'))
      assert.match(other, /^HTTP\/1\.1 400[\s\S]*its Host is other\.test, that of TLS was api\.test/)
      // who does not trust the authority sends nothing
      assert.equal(await ask(at, 'api.test', serverCa.certificate, tlsGet('/v1/x')), '')
      assert.equal(seen.length, 1)
    })

    it('a server that can not be verified is a 502', async () => {
      const authority = await Authority.open(undefined)
      const stranger = await Authority.open(undefined)
      const to = await listening(
        createTlsServer(
          { SNICallback: (name, done) => void stranger.contextFor(name).then((context) => done(null, context)) },
          answering(seen),
        ),
      )
      const { port: at } = await proxied({ allow: ['* *'] }, { to, authority })
      assert.equal(status(await ask(at, 'api.test', authority.certificate, tlsGet('/', `api.test:${to}`))), 502)
      assert.equal(seen.length, 0)
    })

    it('a ClientHello in pieces', async () => {
      const pieces = createTcpServer()
      const to = await listening(pieces)
      const [[first]] = await Promise.all([
        once(pieces, 'connection').then(([socket]) => once(socket as Socket, 'data') as Promise<[Buffer]>),
        Promise.resolve(tlsConnect({ port: to, host: '127.0.0.1', servername: 'api.test' }).on('error', () => {})),
      ])
      for (const length of [1, 5, 9, 60, first.length - 1])
        assert.deepEqual(readHello(first.subarray(0, length)), { kind: 'more' }, String(length))
      assert.deepEqual(readHello(first), { kind: 'hello', name: 'api.test' })
      for (let at = 0; at < first.length; at++) {
        const broken = Buffer.from(first)
        broken[at] = (broken[at] ?? 0) ^ 0xff
        readHello(broken)
      }
      assert.deepEqual(readHello(Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])), { kind: 'malformed' })
    })
  })
})
