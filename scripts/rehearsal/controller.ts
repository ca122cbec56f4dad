/**
 * Runs the controller's program as src/controller/boot.ts does, and writes down what V8 has compiled of it when it leaves:
 * `node FLAGS controller.ts PROGRAM COMPILED --listen-fd N`. FLAGS are those of native/launcher/controller.c: V8 asks for the same.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, resolve } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { Script } from 'node:vm'

const [filename = '', compiled = ''] = process.argv.splice(2, 2)
// What ran once, at boot, would be given up at the first garbage collection.
setFlagsFromString('--no-flush-bytecode')
const script = new Script(readFileSync(filename, 'latin1'), { filename })
process.on('exit', () => {
  setFlagsFromString('--flush-bytecode') // flags are written down too
  writeFileSync(compiled, script.createCachedData())
})
const path = resolve(filename)
script.runInThisContext()(createRequire(path), dirname(path))
