/**
 * Servers in a network and mount namespace of their own, as a program: `upstream.ts DIR`. DIR/hosts becomes /etc/hosts there; a certificate
 * authority is written to DIR/ca.pem. Each request is a line of JSON on standard output; before these comes `ready`.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { join } from 'node:path'
import { Authority } from '../../src/policy/worker/http/authority.ts'

const [dir = ''] = process.argv.slice(2)
const run = (...words: string[]) => execFileSync(words[0] ?? '', words.slice(1))
run('ip', 'link', 'set', 'lo', 'up')
run('ip', 'addr', 'add', '192.0.2.2/24', 'dev', 'lo')
run('ip', 'addr', 'add', '2001:db8::2/64', 'dev', 'lo', 'nodad')
run('mount', '--bind', join(dir, 'hosts'), '/etc/hosts')
const authority = await Authority.open(undefined)
writeFileSync(join(dir, 'ca.pem'), authority.certificate)

const serve = async (request: IncomingMessage, response: ServerResponse) => {
  let length = 0
  for await (const chunk of request) length += (chunk as Buffer).length
  const { method, url, headers } = request
  process.stdout.write(`${JSON.stringify({ method, url, authorization: headers.authorization ?? '' })}\n`)
  response.end(url?.endsWith('/big') ? Buffer.alloc(4 << 20, 'b') : `served ${method} ${url} ${length}`)
}
const plain = createServer(serve).listen(80, '::')
const tls = createTlsServer(
  { SNICallback: (name, done) => void authority.contextFor(name).then((context) => done(null, context)) },
  serve,
).listen(443, '::')
await Promise.all([plain, tls].map((server) => new Promise((resolve) => server.once('listening', resolve))))
process.stdout.write('ready\n')
