/** deploy/kubernetes/install.sh on a scratch node: what it makes of containerd's configuration, and that it takes exactly that away again. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'

const script = join(import.meta.dirname, '../../deploy/kubernetes/install.sh')
const CONFIG = '/etc/containerd/config.toml'
const DROP_IN = '/etc/containerd/conf.d/berth.toml'
const SHIM = '/opt/containerd/bin/containerd-shim-berth-v2'

/** Everything below a directory: type, mode and contents by path. */
const tree = (dir: string, below = ''): Record<string, string> => {
  const found: Record<string, string> = {}
  for (const entry of readdirSync(join(dir, below), { withFileTypes: true })) {
    const path = join(below, entry.name)
    const at = join(dir, path)
    if (entry.isDirectory()) Object.assign(found, { [`${path}/`]: '' }, tree(dir, path))
    else if (entry.isSymbolicLink()) found[path] = `-> ${readlinkSync(at)}`
    else found[path] = `${statSync(at).mode.toString(8)} ${readFileSync(at, 'utf8')}`
  }
  return found
}

/** A node's files in a directory of their own, and what is installed there. */
class Node implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-node-'))
  readonly host = join(this.dir, 'host')
  readonly restarts = join(this.dir, 'restarts')

  constructor(config?: string, files: Readonly<Record<string, string>> = {}) {
    mkdirSync(this.host)
    if (config !== undefined) this.write(CONFIG, config)
    for (const [path, text] of Object.entries(files)) this.write(path, text)
    this.source('0.1.0')
  }

  /** Something like what `make install` makes. */
  source(version: string): string {
    const dir = join(this.dir, 'lib', version)
    mkdirSync(join(dir, 'bin'), { recursive: true })
    mkdirSync(join(dir, 'dist'))
    writeFileSync(join(dir, 'bin/berth'), version)
    chmodSync(join(dir, 'bin/berth'), 0o755)
    symlinkSync('berth', join(dir, 'bin/containerd-shim-berth-v2'))
    writeFileSync(join(dir, 'dist/build-id'), `id-of-${version}\n`)
    return dir
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.host, path)), { recursive: true })
    writeFileSync(join(this.host, path), text)
  }

  read(path: string): string {
    return readFileSync(join(this.host, path), 'utf8')
  }

  env(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    const SOURCE = join(this.dir, 'lib/0.1.0')
    return { PATH: process.env.PATH ?? '', HOST: this.host, SOURCE, RESTART: `echo >>${this.restarts}`, ...more }
  }

  run(verb: string, env: Readonly<Record<string, string>> = {}, shell: readonly string[] = ['sh']) {
    const [program = '', ...first] = shell
    const { status, stdout, stderr } = spawnSync(program, [...first, script, verb], {
      env: this.env(env),
      encoding: 'utf8',
    })
    return { status, stdout, stderr }
  }

  done(verb: string, env: Readonly<Record<string, string>> = {}, shell?: readonly string[]): string {
    const { status, stdout, stderr } = this.run(verb, env, shell)
    assert.equal(status, 0, `${verb}: ${stdout}${stderr}`)
    return stdout
  }

  get restarted(): number {
    return existsSync(this.restarts) ? readFileSync(this.restarts, 'utf8').length : 0
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true })
  }
}

const handler = (plugin: string) => `[plugins."${plugin}".containerd.runtimes.berth]
  runtime_type = "io.containerd.berth.v2"
  pod_annotations = ["io.berth.*"]
  container_annotations = ["io.berth.*"]
`
const V2 = `
# berth: begin (install.sh uninstall takes it away)
${handler('io.containerd.grpc.v1.cri')}# berth: end
`
const TOP = `# berth: begin (install.sh uninstall takes it away)
imports = ["${DROP_IN}"]
# berth: end
`
const dropIn = (version: number) => `version = ${version}\n${handler('io.containerd.cri.v1.runtime')}`

const runcV2 = `version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true # as the kubelet
`
const runcV3 = runcV2.replace('= 2', '= 3').replace('grpc.v1.cri', 'cri.v1.runtime')
const first = (text: string) => text.replace('[', `["${DROP_IN}", `)

interface Case {
  readonly config?: string
  readonly files?: Readonly<Record<string, string>>
  /** What the main file is then; undefined: there is none. */
  readonly main: string | undefined
  readonly dropIn?: string
}
const CASES: Readonly<Record<string, Case>> = {
  'no configuration': {
    main: `# Made by install.sh of berth, and removed by it unless something is added.\nversion = 2\n${V2}`,
  },
  'version 2': { config: runcV2, main: runcV2 + V2 },
  'version 2, the last line without its end': { config: runcV2.trimEnd(), main: runcV2.trimEnd() + V2 },
  'version 2 with empty lines at its end': { config: `${runcV2}\n\n`, main: `${runcV2}\n\n${V2}` },
  'version 2 with imports, whose sections replace those of the main file': {
    config: `imports = ["/etc/containerd/conf.d/*.toml"]\n${runcV2}`,
    main: `imports = ["/etc/containerd/conf.d/*.toml"]\n${runcV2}${V2}`,
  },
  'version 3': { config: runcV3, main: TOP + runcV3, dropIn: dropIn(3) },
  'version 3, the last line without its end': {
    config: runcV3.trimEnd(),
    main: TOP + runcV3.trimEnd(),
    dropIn: dropIn(3),
  },
  'version 4': { config: 'version = 4\n', main: `${TOP}version = 4\n`, dropIn: dropIn(4) },
  'a pattern that covers the drop-in': {
    config: `version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n`,
    main: `version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n`,
    dropIn: dropIn(3),
  },
  'a pattern by a relative path': {
    config: `version = 3\nimports = ["conf.d/*.toml"]\n`,
    main: `version = 3\nimports = ["conf.d/*.toml"]\n`,
    dropIn: dropIn(3),
  },
  'other imports': {
    config: `version = 3\nimports = ["/etc/containerd/*.toml"] # ours\n[debug]\n`,
    main: first(`version = 3\nimports = ["/etc/containerd/*.toml"] # ours\n[debug]\n`),
    dropIn: dropIn(3),
  },
  'an empty list of imports': {
    config: 'version = 3\nimports = []',
    main: first('version = 3\nimports = []'),
    dropIn: dropIn(3),
  },
  'imports over some lines': {
    config: 'imports = [ # from us\n  "/a.toml", # one\n  "/b/*.toml"\n]\nversion = 3\n',
    main: first('imports = [ # from us\n  "/a.toml", # one\n  "/b/*.toml"\n]\nversion = 3\n'),
    dropIn: dropIn(3),
  },
  'a table with imports of its own, and a comment': {
    config: '# imports = []\nversion = 3\n[x]\nimports = []\n',
    main: `${TOP}# imports = []\nversion = 3\n[x]\nimports = []\n`,
    dropIn: dropIn(3),
  },
  "others' drop-ins and no main file": {
    files: { '/etc/containerd/conf.d/50-site.toml': 'version = 3\n' },
    main: undefined,
    dropIn: dropIn(3),
  },
}

describe('install.sh', () => {
  for (const [name, { config, files, main, dropIn }] of Object.entries(CASES))
    it(`${name}: in, again, out`, () => {
      using node = new Node(config, files)
      if (config !== undefined) chmodSync(join(node.host, CONFIG), 0o640)
      const was = tree(node.host)
      node.done('install')
      const now = tree(node.host)
      assert.equal(existsSync(join(node.host, CONFIG)) ? node.read(CONFIG) : undefined, main)
      assert.equal(existsSync(join(node.host, DROP_IN)) ? node.read(DROP_IN) : undefined, dropIn)
      if (config !== undefined) assert.equal(statSync(join(node.host, CONFIG)).mode & 0o777, 0o640)
      assert.equal(now[SHIM.slice(1)], '-> /opt/berth/bin/containerd-shim-berth-v2')
      assert.equal(now['opt/berth/bin/containerd-shim-berth-v2'], '-> ../0.1.0-id-of-0.1.0/bin/berth')
      assert.equal(node.restarted, 1)
      node.done('check')

      node.done('install')
      assert.deepEqual(tree(node.host), now)
      assert.equal(node.restarted, 1)

      node.done('uninstall')
      assert.deepEqual(tree(node.host), was)
      assert.equal(node.restarted, 2)
    })

  const busybox = spawnSync('busybox', ['true']).status === 0
  for (const shell of [
    ['busybox', 'sh'],
    ['bash', '--posix'],
  ])
    it(`works in ${shell.join(' ')}`, { skip: shell[0] === 'busybox' && !busybox && 'needs busybox' }, () => {
      using node = new Node(first(runcV3))
      const was = tree(node.host)
      node.done('install', {}, shell)
      node.done('check', {}, shell)
      node.done('uninstall', {}, shell)
      assert.deepEqual(tree(node.host), was)
    })

  it('keeps what others change in the meantime', () => {
    for (const config of [runcV2, runcV3]) {
      using node = new Node(config)
      node.done('install')
      node.write(CONFIG, `${node.read(CONFIG).replace('true', 'false')}[debug]\n  level = "debug"\n`)
      node.done('uninstall')
      assert.equal(node.read(CONFIG), `${config.replace('true', 'false')}[debug]\n  level = "debug"\n`)
    }
  })

  const REFUSED: Readonly<Record<string, { readonly config: string; readonly why: RegExp }>> = {
    'a configuration of version 1': { config: '[plugins.cri]\n', why: /config migrate/ },
    'CRI switched off': { config: 'version = 2\ndisabled_plugins = [\n  "cri",\n]\n', why: /disabled_plugins/ },
  }
  for (const [name, { config, why }] of Object.entries(REFUSED))
    it(`refuses ${name}, and changes nothing`, () => {
      using node = new Node(config)
      const was = tree(node.host)
      const { status, stderr } = node.run('install')
      assert.equal(status, 1)
      assert.match(stderr, why)
      assert.deepEqual(tree(node.host), was)
      assert.equal(node.restarted, 0)
    })

  it("leaves somebody else's handler and shim alone", () => {
    const config = `${runcV2}${handler('io.containerd.grpc.v1.cri')}`
    using node = new Node(config)
    node.done('install')
    assert.equal(node.read(CONFIG), config)
    node.done('check')
    node.done('uninstall')
    assert.equal(node.read(CONFIG), config)
    assert.equal(node.restarted, 0)

    node.write(SHIM, 'theirs')
    const was = tree(node.host)
    assert.match(node.run('install').stderr, /remove it first/)
    assert.deepEqual(tree(node.host), was)
  })

  it('takes the handler out again where containerd does not start with it', () => {
    using node = new Node(runcV2)
    const { status, stderr } = node.run('install', { RESTART: `! grep -q berth ${node.host}${CONFIG}` })
    assert.equal(status, 1)
    assert.match(stderr, /containerd did not start with the handler/)
    assert.equal(node.read(CONFIG), runcV2)
    node.done('uninstall')
    assert.match(node.done('uninstall'), /not installed/)
    assert.deepEqual(Object.keys(tree(node.host)), ['etc/', 'etc/containerd/', 'etc/containerd/config.toml'])
  })

  it('restarts containerd where it was ended between the change and the restart', () => {
    using node = new Node(runcV2)
    // the shell's own parent is install.sh
    assert.equal(node.run('install', { RESTART: 'kill -9 $PPID' }).status, null)
    assert.equal(node.run('check').status, 1)
    node.done('install')
    assert.equal(node.restarted, 1)
    node.done('check')
  })

  it('says that a restart is needed where it may not do it', () => {
    using node = new Node(runcV2)
    assert.match(node.done('install', { RESTART: '' }), /has to be restarted/)
    assert.doesNotMatch(node.done('install', { RESTART: '' }), /restart/)
  })

  describe('with containers', () => {
    const container = '/run/berth/.shim/0123/k8s.io/abc/record'

    it('an upgrade puts another build beside the one that they use, without a restart', () => {
      using node = new Node(runcV2)
      node.done('install')
      node.write(container, '')
      node.done('install', { SOURCE: node.source('0.2.0') })
      assert.equal(node.read('/opt/berth/bin/containerd-shim-berth-v2'), '0.2.0')
      assert.equal(node.read('/opt/berth/0.1.0-id-of-0.1.0/bin/berth'), '0.1.0')
      assert.equal(node.restarted, 1)
      rmSync(join(node.host, 'run/berth/.shim/0123'), { recursive: true })
      node.done('install', { SOURCE: join(node.dir, 'lib/0.2.0') })
      assert.equal(existsSync(join(node.host, 'opt/berth/0.1.0-id-of-0.1.0')), false)
    })

    it('it is not taken away', () => {
      using node = new Node(runcV2)
      node.done('install')
      node.write(container, '')
      const was = tree(node.host)
      const { status, stderr } = node.run('uninstall')
      assert.equal(status, 1)
      assert.match(stderr, /containers run with it: abc /)
      assert.deepEqual(tree(node.host), was)
    })
  })

  describe('as the DaemonSet runs it', () => {
    let node: Node
    before(() => {
      node = new Node(runcV2)
    })
    after(() => node[Symbol.dispose]())

    /** A pod: resolves once it has installed. */
    const pod = async (uid: string) => {
      const child = spawn('sh', [script, 'run'], {
        env: node.env({ OWNER: uid }),
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const ended = new Promise((done) => child.once('close', done))
      let said = ''
      await new Promise<void>((done, fail) => {
        child.once('close', () => fail(new Error(said)))
        child.stdout.setEncoding('utf8').on('data', (text) => {
          said += text
          if (/installed 0/.test(said)) done()
        })
      })
      return {
        end: async () => {
          child.kill('SIGTERM')
          return await ended
        },
        said: () => said,
      }
    }

    it('installs, hands over to the pod of a newer one, and goes with the last', async () => {
      const was = tree(node.host)
      const old = await pod('one')
      const now = await pod('two')
      assert.equal(await old.end(), 0)
      assert.match(old.said(), /another one has installed since/)
      node.done('check')
      assert.equal(node.restarted, 1)
      assert.equal(await now.end(), 0)
      assert.deepEqual(tree(node.host), was)
      assert.equal(node.restarted, 2)
    })
  })
})
