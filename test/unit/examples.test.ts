/** examples/: what they say is what they do. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadPolicy } from '../../src/policy/document.ts'

const examples = join(import.meta.dirname, '../../examples')
const { onSyscall } = (await import(join(examples, 'module.mjs'))) as { onSyscall: (event: object) => unknown }

test('policy.json is a policy', () => {
  const { files, network } = loadPolicy(readFileSync(join(examples, 'policy.json')), 'policy.json')
  assert.deepEqual(files?.execute, ['/usr'])
  assert.deepEqual(network?.allowBind, [])
})

test('module.mjs lets packages be fetched and a shell run until the compiler has', () => {
  const https = { call: 'connect', family: 'ipv4', address: '192.0.2.1', port: 443 }
  const shell = { call: 'execve', path: '/bin/sh', argv: ['sh'] }
  assert.equal(onSyscall(https), 'allow')
  assert.equal(onSyscall(shell), 'allow')
  assert.equal(onSyscall({ call: 'execve', path: '/usr/bin/cc', argv: ['cc'] }), 'allow')
  assert.deepEqual(onSyscall(https), { errno: 'ENETUNREACH' })
  assert.deepEqual(onSyscall(shell), { errno: 'EACCES' })
})

test('module.mjs lets files below /work, /tmp and /dev be written only', () => {
  const opened = (path: string, write: boolean) => onSyscall({ call: 'open', path, write })
  assert.equal(opened('/work/a.o', true), 'allow')
  assert.equal(opened('/etc/passwd', false), 'allow')
  assert.deepEqual(opened('/etc/passwd', true), { errno: 'EROFS' })
})
