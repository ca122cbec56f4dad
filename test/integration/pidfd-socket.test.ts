/** --pidfd-socket: whoever listens is sent a descriptor of the process, with runc's word for its kind. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

/** Says what came with the descriptor and whose it is. */
const RECEIVER = `
import re, socket, sys
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen(1)
data, fds, _, _ = socket.recv_fds(listener.accept()[0], 100, 4)
info = open(f'/proc/self/fdinfo/{fds[0]}').read()
print(data.decode(), re.search(r'^Pid:\\s*(-?\\d+)', info, re.M)[1])
`

describe('--pidfd-socket', { skip: notHere }, () => {
  const id = `pidfd-${process.pid}`
  deletesAfterEach(id)

  const receive = async (path: string): Promise<() => Promise<string>> => {
    const child: ChildProcess = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (part) => {
      text += part
    })
    const ended = new Promise((resolve) => child.on('close', resolve))
    await until('the receiver listens', () => existsSync(path))
    return async () => {
      await ended
      return text.trim()
    }
  }

  it('create sends the init, exec its process', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    const first = await receive(`${bundle.dir}/one`)
    const created = await berth(['create', '--bundle', bundle.dir, '--pidfd-socket', `${bundle.dir}/one`, id])
    assert.equal(created.code, 0, created.stderr)
    const { pid } = JSON.parse((await berth(['state', id])).stdout)
    assert.equal(await first(), `standard ${pid}`)
    assert.equal((await berth(['start', id])).code, 0)
    const second = await receive(`${bundle.dir}/two`)
    const flags = ['-d', '--pid-file', `${bundle.dir}/pid`, '--pidfd-socket', `${bundle.dir}/two`]
    const done = await berth(['exec', ...flags, id, '/bin/sleep', '1000'])
    assert.equal(done.code, 0, done.stderr)
    assert.match(await second(), /^setns [1-9]\d*$/)
  })

  it('a create that can not send it leaves nothing', async () => {
    using bundle = new Bundle(['/bin/true'])
    const done = await berth(['create', '--bundle', bundle.dir, '--pidfd-socket', `${bundle.dir}/nobody`, id])
    assert.equal(done.code, 1)
    assert.match(done.stderr, /nobody/)
  })
})
