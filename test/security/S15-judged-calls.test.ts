import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { bring, noCompiler } from '../harness/attack.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `s15-judged-${process.pid}`
const ROUNDS = process.env.JUDGED_ROUNDS ?? '1000'

describe('S15: what a thread or a process rewrites while a module judges it', { skip: notHere || noCompiler }, () => {
  deletesAfterEach(id)
  let node: string
  before(() => {
    node = mkdtempSync(join(tmpdir(), 'berth-judged-'))
    const path = join(node, 'module.mjs')
    writeFileSync(
      path,
      "export const onSyscall = ({ address, path, argv }) => address === '127.0.0.1' || path === '/data/secret' || path === '/data/evil' || (path === '/judged' && argv?.[1] === 'direct') ? 'deny' : 'allow'",
    )
    writeFileSync(join(node, 'config.json'), JSON.stringify({ policy: { module: { path } } }))
  })
  after(() => rmSync(node, { recursive: true }))

  for (const [what, command] of [
    ['an address', `/senders race 127.0.0.2 127.0.0.1 7000 ${ROUNDS}`],
    ['a path', `/judged race-open ${ROUNDS}`],
    ['a program', `cp /judged /data/evil; /judged race-execve ${ROUNDS}`],
    [
      'a script',
      `printf '#!/judged ok\\n' >/data/ok; printf '#!/judged evil\\n' >/data/new; chmod +x /data/ok /data/new; mv /data/new /data/evil; /judged race-script ${ROUNDS}`,
    ],
  ] as const)
    it(`${what} is never another than was judged`, async () => {
      using bundle = new Bundle(['/bin/sh', '-c', command], (config) => {
        config.root.readonly = false
      })
      const data = join(bundle.dir, 'rootfs/data')
      mkdirSync(data)
      for (const name of ['open', 'secret']) writeFileSync(join(data, name), `${name}\n`)
      for (const name of ['senders', 'judged']) bring(bundle, name)
      const { stdout, stderr } = await berth(['--config', join(node, 'config.json'), 'run', '--bundle', bundle.dir, id])
      assert.equal(stdout, 'through 0\nrefused some\n', stderr)
    })
})
