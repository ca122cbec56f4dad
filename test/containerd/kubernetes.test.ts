/** The steps of deploy/kubernetes on each containerd: install, restart where needed, containers, an upgrade below them, all of it taken away. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { image, noContainerd, runtime } from '../harness/containerd.ts'
import { controllerPids, hasEnded, nothingLeft, root, snapshot, until } from '../harness/host.ts'
import { run } from '../harness/run.ts'

const exec = promisify(execFile)
const matrix = join(root, 'test/containerd/matrix')
const script = join(root, 'deploy/kubernetes/install.sh')

describe('install.sh', { skip: noContainerd }, () => {
  const made = mkdtempSync(join(tmpdir(), 'berth-made-'))
  const source = join(made, 'lib/berth/installed')
  const newer = join(made, 'lib/berth/newer')
  before(async () => {
    await exec('make', ['-s', 'install', `PREFIX=${made}`, `LIBDIR=${source}`], { cwd: root })
    await exec('cp', ['-al', source, newer])
  })
  after(() => {
    rmSync(made, { recursive: true })
  })

  for (const version of ['1.6', '1.7', '2.1'])
    describe(`with containerd ${version}`, () => {
      const pristine = snapshot()
      const dir = mkdtempSync(join(tmpdir(), `berth-kubernetes-${version}-`))
      const opt = join(dir, 'node/berth')
      const shimDir = join(dir, 'opt/bin')
      const config = join(dir, 'config.toml')
      const id = `kubernetes-${process.pid}`
      let was: Buffer

      const install = (verb: string, more: Readonly<Record<string, string>> = {}) => {
        const paths = { SOURCE: source, OPT: opt, SHIM_DIR: shimDir, CONFIG: config }
        return run(script, [verb], {
          env: { ...process.env, ...paths, RESTART: `${matrix} restart ${dir}`, ...more },
        })
      }
      const done = async (verb: string, more?: Readonly<Record<string, string>>) => {
        const { code, stdout, stderr } = await install(verb, more)
        assert.equal(code, 0, stdout + stderr)
      }
      const ctr = (...args: string[]) => run(matrix, ['ctr', dir, ...args])
      const greet = () => ctr('run', '--rm', '--runtime', runtime, image, `${id}-greet`, '/bin/echo', 'hello')
      const notThere = async () => assert.match((await greet()).stderr, /"containerd-shim-berth-v2"/)
      const daemon = () => readFileSync(join(dir, 'pid'), 'utf8')
      const log = () => readFileSync(join(dir, 'log'), 'utf8')

      /** The controllers of what is installed would stay for their idle time. */
      const endControllers = async () => {
        for (const build of existsSync(opt) ? readdirSync(opt) : [])
          for (const pid of controllerPids(join(opt, build, 'dist'))) {
            process.kill(pid, 'SIGTERM')
            await until('the controller ends', () => hasEnded(pid))
          }
      }

      before(async () => {
        await exec(matrix, ['start', version, dir], { maxBuffer: 1 << 26 })
        was = readFileSync(config)
      })
      after(async () => {
        await exec(matrix, ['stop', dir])
        await endControllers()
        rmSync(dir, { recursive: true })
        await nothingLeft(pristine)
      })

      it('installs: containerd has the handler, and runs containers with it', async () => {
        await notThere()
        const before = log().length
        await done('install')
        const { stdout: dump } = await exec(join(dir, 'pkg/usr/bin/containerd'), ['-c', config, 'config', 'dump'])
        assert.match(dump, /\.containerd\.runtimes\.berth\]\s[\s\S]{0,800}?io\.containerd\.berth\.v2/)
        assert.match(dump, /container_annotations = \[["']io\.berth\.\*["']\]/)
        // what the main file had said stays in force
        assert.ok(dump.includes(`${dir}/runc`))
        await until('CRI tells of it', () => /cri plugin.*io\.containerd\.berth\.v2/i.test(log().slice(before)))
        assert.deepEqual(await greet(), { code: 0, signal: null, stdout: 'hello\n', stderr: '' })
        await done('check')
      })

      it('does nothing where all is in place', async () => {
        const running = daemon()
        const now = readFileSync(config)
        await done('install')
        assert.equal(daemon(), running)
        assert.deepEqual(readFileSync(config), now)
      })

      it('upgrades below a container, which goes on, and stays for it', async () => {
        const running = daemon()
        assert.equal((await ctr('run', '-d', '--runtime', runtime, image, id, '/bin/sleep', '1000')).code, 0)
        await done('install', { SOURCE: newer })
        assert.equal(daemon(), running)
        assert.match(readlinkSync(join(opt, 'bin/containerd-shim-berth-v2')), /^\.\.\/newer-/)
        assert.equal((await greet()).stdout, 'hello\n')
        // the container's controller is started anew, from the build that the container was made by
        await endControllers()
        const inside = await ctr('task', 'exec', '--exec-id', 'x', id, '/bin/echo', 'still here')
        assert.equal(inside.stdout, 'still here\n', inside.stderr)

        const refused = await install('uninstall')
        assert.equal(refused.code, 1)
        assert.match(refused.stderr, new RegExp(`containers run with it: ${id} `))
        assert.equal(daemon(), running)
        await ctr('task', 'rm', '-f', id)
        await ctr('container', 'rm', id)
      })

      it('goes with everything, to the byte', async () => {
        const running = daemon()
        await endControllers()
        await done('uninstall')
        assert.deepEqual(readFileSync(config), was)
        assert.notEqual(daemon(), running)
        assert.deepEqual(readdirSync(shimDir), [])
        assert.deepEqual(
          ['node', 'conf.d'].filter((name) => existsSync(join(dir, name))),
          [],
        )
        await notThere()
      })

      it('takes the handler out again where containerd does not start with it', async () => {
        const running = daemon()
        const first = join(dir, 'first')
        const RESTART = `if test -e ${first}; then ${matrix} restart ${dir}; else : >${first}; false; fi`
        const { code, stderr } = await install('install', { RESTART })
        assert.equal(code, 1)
        assert.match(stderr, /did not start with the handler/)
        assert.deepEqual(readFileSync(config), was)
        assert.notEqual(daemon(), running)
        await done('uninstall')
      })
    })
})
