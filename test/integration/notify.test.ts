/** What services hand down: readiness ($NOTIFY_SOCKET) and sockets (LISTEN_FDS), as runc does. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary, leftOver, snapshot, until } from '../harness/host.ts'
import { berth, run } from '../harness/run.ts'

const before = snapshot()
after(() => assert.deepEqual(leftOver(before), []))

/** Stands for the service manager: prints each datagram that it gets as a line of JSON, and lets go of descriptors. */
const MANAGER = `
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print(json.dumps(''), flush=True)
while True:
    data, ancillary, _, _ = s.recvmsg(4096, 1024)
    for _, _, fds in ancillary:
        for at in range(0, len(fds), 4): os.close(int.from_bytes(fds[at:at+4], 'little'))
    print(json.dumps(data.decode()), flush=True)
`

class Manager implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-notify-'))
  readonly socket = join(this.dir, 'notify')
  readonly said: string[] = []
  readonly env = { ...process.env, NOTIFY_SOCKET: this.socket }
  readonly #child = spawn('python3', ['-c', MANAGER, this.socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  constructor() {
    let rest = ''
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      this.said.push(...lines.map((line) => JSON.parse(line) as string).filter((line) => line !== ''))
    })
  }
  async ready(): Promise<this> {
    await until('the socket', () => existsSync(this.socket))
    return this
  }
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.on('close', resolve))
    this.#child.kill()
    await ended
    rmSync(this.dir, { recursive: true })
  }
}

/** A static program that sends its arguments, a datagram each, to $NOTIFY_SOCKET, then waits to be killed where the last is "wait". */
const SAY = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  const char *path = getenv("NOTIFY_SOCKET");
  if (path == NULL) return 3;
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "wait") == 0) pause();
    if (sendto(fd, argv[i], strlen(argv[i]), 0, (struct sockaddr *)&to, sizeof to) < 0) return 4;
  }
  return 0;
}
`
const program = join(mkdtempSync(join(tmpdir(), 'berth-say-')), 'say')
after(() => rmSync(join(program, '..'), { recursive: true, force: true }))

/** A container that says these things, as an ordinary user. */
const saying = (...words: string[]): Bundle => {
  if (!existsSync(program)) {
    writeFileSync(`${program}.c`, SAY)
    execFileSync('cc', ['-static', '-Wall', '-o', program, `${program}.c`])
  }
  const bundle = new Bundle(['/say', ...words], (config) => {
    config.process.user = { uid: 1000, gid: 1000 }
  })
  chmodSync(join(bundle.dir, 'rootfs'), 0o755)
  execFileSync('install', ['-m', '755', program, join(bundle.dir, 'rootfs/say')])
  return bundle
}

test('start waits until the container is ready, and tells who is its main process', { skip: notHere }, async () => {
  await using manager = await new Manager().ready()
  using bundle = saying('STATUS=soon\nMAINPID=1', 'X=1\nREADY=1', 'wait')
  const { env } = manager
  assert.equal((await berth(['create', '--bundle', bundle.dir, 'n1'], { env })).stderr, '')
  const { pid } = JSON.parse((await berth(['state', 'n1'])).stdout) as { pid: number }
  assert.deepEqual(manager.said, [])
  assert.equal((await berth(['start', 'n1'], { env })).stderr, '')
  // of what the container says nothing but its readiness goes on
  await until('all is said', () => manager.said.length >= 2)
  assert.deepEqual(manager.said, [`READY=1\nMAINPID=${pid}`, 'BARRIER=1'])
  await berth(['delete', '--force', 'n1'])
})

test('start does not wait for one that ends without a word', { skip: notHere }, async () => {
  await using manager = await new Manager().ready()
  using bundle = saying()
  assert.equal((await berth(['run', '-d', '--bundle', bundle.dir, 'n2'], { env: manager.env })).code, 0)
  assert.deepEqual(manager.said, [])
  await berth(['delete', '--force', 'n2'])
})

test('run passes it on while it waits, and stays the main process', { skip: notHere }, async () => {
  await using manager = await new Manager().ready()
  using bundle = saying('NOT_READY=1', 'READY=1\n', 'wait')
  const ended = berth(['run', '--bundle', bundle.dir, 'n3'], { env: manager.env })
  await until('ready', () => manager.said.length > 0)
  assert.deepEqual(manager.said, ['READY=1'])
  await berth(['kill', 'n3', 'KILL'])
  assert.equal((await ended).code, 137)
})

test('a container that was made without is started all the same', { skip: notHere }, async () => {
  await using manager = await new Manager().ready()
  using bundle = saying()
  await berth(['create', '--bundle', bundle.dir, 'n4'])
  assert.equal((await berth(['start', 'n4'], { env: manager.env })).code, 0)
  await berth(['delete', '--force', 'n4'])
})

test('a caller that does not listen is an error with its socket', { skip: notHere }, async () => {
  using bundle = saying('READY=1')
  const env = { ...process.env, NOTIFY_SOCKET: '/nobody/here' }
  const { code, stderr } = await berth(['run', '--bundle', bundle.dir, 'n5'], { env })
  assert.equal(code, 1)
  assert.match(stderr, /notify "\/nobody\/here": no such file or directory/)
})

test('sockets that the caller was activated with come first, with their names', { skip: notHere }, async () => {
  using bundle = new Bundle(['/bin/sh', '-c', 'echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; cat <&3; cat <&4'])
  const files = ['one', 'two'].map((text) => {
    const path = join(bundle.dir, text)
    writeFileSync(path, `${text}\n`)
    return openSync(path, 'r')
  })
  try {
    const { stdout } = await run(
      'sh',
      ['-c', 'LISTEN_PID=$$ exec "$@"', 'sh', binary, 'run', '--bundle', bundle.dir, 'n6'],
      {
        env: { ...process.env, LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' },
        stdio: ['pipe', 'pipe', 'pipe', ...files],
      },
    )
    assert.equal(stdout, '2 1 a:b\none\ntwo\n')
  } finally {
    for (const fd of files) closeSync(fd)
  }
})
