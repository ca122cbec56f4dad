/**
 * A name server in a network and mount namespace of its own, as a program: `name-server.ts DIR`, at 192.0.2.53. DIR/hosts and DIR/resolv.conf become
 * the node's there; DIR/zone.json says what it answers, and is read for each question. Prints `ready` once it can be asked.
 */
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type Packet,
  streamDecode,
  streamEncode,
  TRUNCATED_RESPONSE,
} from 'dns-packet'

/** What there is of a name, or how the server lies about it. */
export interface Zone {
  readonly [name: string]: {
    readonly A?: readonly string[]
    readonly AAAA?: readonly string[]
    readonly CNAME?: string
    /**
     * An answer with another address: of another id or to another question, before the true one; or one cut short, the rest of which TCP has.
     */
    readonly forged?: 'id' | 'question' | 'cut'
    /** SERVFAIL. */
    readonly fails?: boolean
  }
}
/** What no answer that is worth anything says. */
export const FORGED = '192.0.2.66'

const ADDRESS = '192.0.2.53'
const PORT = 53
const [dir = ''] = process.argv.slice(2)
const [NXDOMAIN, SERVFAIL] = [3, 2]

const recordsOf = (zone: Zone, name: string, type: string, seen: readonly string[] = []): Answer[] => {
  const { CNAME, A = [], AAAA = [] } = zone[name] ?? {}
  if (CNAME !== undefined) {
    const alias: Answer = { name, type: 'CNAME', ttl: 1, data: CNAME }
    return seen.includes(CNAME) ? [alias] : [alias, ...recordsOf(zone, CNAME, type, [...seen, name])]
  }
  if (type === 'A') return A.map((data) => ({ name, type, ttl: 1, data }))
  return type === 'AAAA' ? AAAA.map((data) => ({ name, type, ttl: 1, data })) : []
}

const answersTo = (question: Packet, tcp: boolean): Packet[] => {
  const zone = JSON.parse(readFileSync(join(dir, 'zone.json'), 'utf8')) as Zone
  const [asked] = question.questions ?? []
  const { name = '', type = 'A' } = asked ?? {}
  const known = zone[name.toLowerCase()]
  const rcode = known?.fails ? SERVFAIL : known === undefined ? NXDOMAIN : 0
  const base = { type: 'response', id: question.id ?? 0, questions: question.questions ?? [] } as const
  const truth: Packet = {
    ...base,
    flags: AUTHORITATIVE_ANSWER | rcode,
    answers: recordsOf(zone, name.toLowerCase(), type),
  }
  const evil: Answer[] = type === 'A' ? [{ name, type, ttl: 1, data: FORGED }] : []
  if (known?.forged === 'id') return [{ ...base, id: (base.id + 1) & 0xffff, answers: evil }, truth]
  if (known?.forged === 'question')
    return [{ ...base, questions: [{ name: 'other.test', type: 'A' }], answers: evil }, truth]
  return known?.forged === 'cut' && !tcp ? [{ ...base, flags: TRUNCATED_RESPONSE, answers: evil }] : [truth]
}

const serve = async (): Promise<void> => {
  const run = (...words: string[]) => execFileSync(words[0] ?? '', words.slice(1))
  run('ip', 'link', 'set', 'lo', 'up')
  run('ip', 'addr', 'add', `${ADDRESS}/24`, 'dev', 'lo')
  for (const name of ['hosts', 'resolv.conf'])
    if (existsSync(join(dir, name))) run('mount', '--bind', join(dir, name), `/etc/${name}`)
  const datagrams = createSocket('udp4')
  datagrams.on('message', (bytes, { port, address }) => {
    for (const answer of answersTo(decode(bytes), false)) datagrams.send(encode(answer), port, address)
  })
  datagrams.bind(PORT, ADDRESS)
  const streams = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      for (const answer of answersTo(streamDecode(bytes as Buffer), true)) socket.write(streamEncode(answer))
    })
  }).listen(PORT, ADDRESS)
  await Promise.all([once(datagrams, 'listening'), once(streams, 'listening')])
  process.stdout.write('ready\n')
}
if (process.argv[1] === import.meta.filename) await serve()
